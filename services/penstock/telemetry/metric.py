"""How one metric is declared."""

from dataclasses import dataclass
from typing import Literal

from penstock.telemetry.names import MetricName

SECONDS = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
COUNTS = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0, 4096.0)


@dataclass(frozen=True, kw_only=True)
class Metric:
    """`side` says which process exposes it."""

    name: MetricName
    kind: Literal["counter", "gauge", "histogram"]
    side: Literal["trainer", "replica", "both"]
    help: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()
