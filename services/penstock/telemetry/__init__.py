"""Every metric Penstock exposes: its name, kind, unit, labels and help.

Code reports through the `Telemetry` protocol. A new metric is a name in `names.py` and a row in the table of its side
of the line: events, learning, drift, publishing, serving.
"""

from penstock.telemetry.drift import DRIFT
from penstock.telemetry.events import EVENTS
from penstock.telemetry.learning import LEARNING
from penstock.telemetry.metric import Metric
from penstock.telemetry.names import MetricName
from penstock.telemetry.port import Telemetry
from penstock.telemetry.publishing import PUBLISHING
from penstock.telemetry.serving import SERVING

__all__ = ["METRICS", "Metric", "MetricName", "Telemetry"]

METRICS: tuple[Metric, ...] = (*EVENTS, *LEARNING, *DRIFT, *PUBLISHING, *SERVING)
