"""`Telemetry` on a registry of its own, built from the table in `penstock.telemetry`."""

from collections.abc import Iterable, Mapping
from typing import Generic, Literal, TypeVar

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from penstock import telemetry
from penstock.adapters.prometheus.server import MetricsServer
from penstock.telemetry import METRICS, MetricName

Kind = TypeVar("Kind", Counter, Gauge, Histogram)
INFO: MetricName = "penstock_model_info"


class PrometheusTelemetry:
    """Counts, gauges and histograms of one process, for Prometheus to scrape. Safe from any thread.

    Reporting a metric that this side does not have, or with other labels than declared, raises: it is a defect.
    """

    def __init__(self, *, side: Literal["trainer", "replica"]) -> None:
        # Else a second series beside every counter and histogram, read by nobody.
        disable_created_metrics()  # type: ignore[no-untyped-call]  # prometheus_client leaves it unannotated
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self._counters: dict[str, _Series[Counter]] = {}
        self._gauges: dict[str, _Series[Gauge]] = {}
        self._histograms: dict[str, _Series[Histogram]] = {}
        self._info = _ModelInfo()
        self.registry.register(self._info)
        for metric in METRICS:
            if metric.side in (side, "both") and metric.name != INFO:
                self._declare(metric)

    def count(self, name: MetricName, amount: float = 1, /, **labels: str) -> None:
        """Add to a counter."""
        self._counters[name].of(labels).inc(amount)

    def gauge(self, name: MetricName, value: float, /, **labels: str) -> None:
        """Set a gauge."""
        self._gauges[name].of(labels).set(value)

    def observe(self, name: MetricName, value: float, /, **labels: str) -> None:
        """Add one observation to a histogram."""
        self._histograms[name].of(labels).observe(value)

    def identify(self, *, model: str, version: int, sha256: str) -> None:
        """Make `penstock_model_info` show just these weights."""
        self._info.labels = (model, str(version), sha256)

    def render(self) -> tuple[bytes, str]:
        """All series in Prometheus' text format, and its content type."""
        return generate_latest(self.registry), CONTENT_TYPE_LATEST

    async def render_async(self) -> tuple[bytes, str]:
        """As `render`."""
        return self.render()

    def serve(self, host: str, port: int) -> MetricsServer:
        """Answer `GET /metrics` from a thread of its own; port 0 takes a free one (see `MetricsServer.port`).

        Raises:
            ConfigurationError: the address cannot be listened on.
        """
        return MetricsServer(self.render, host=host, port=port)

    def _declare(self, metric: telemetry.Metric) -> None:
        name, text, labels, registry = metric.name, metric.help, metric.labels, self.registry
        if metric.kind == "counter":
            self._counters[name] = _Series(Counter(name, text, labels, registry=registry), labels)
        elif metric.kind == "gauge":
            self._gauges[name] = _Series(Gauge(name, text, labels, registry=registry), labels)
        else:
            histogram = Histogram(name, text, labels, registry=registry, buckets=metric.buckets)
            self._histograms[name] = _Series(histogram, labels)


class _Series(Generic[Kind]):
    """One metric's children by label values, looked up without prometheus_client's lock and checks."""

    def __init__(self, metric: Kind, names: tuple[str, ...]) -> None:
        self._metric: Kind = metric
        self._children: dict[tuple[tuple[str, str], ...], Kind] = {} if names else {(): metric}

    def of(self, labels: Mapping[str, str]) -> Kind:
        key = tuple(labels.items())
        child = self._children.get(key)
        if child is None:
            child = self._children[key] = self._metric.labels(**labels)
        return child


class _ModelInfo(Collector):
    """One series at any moment: its labels are replaced together."""

    def __init__(self) -> None:
        self.labels: tuple[str, str, str] | None = None

    def collect(self) -> Iterable[Metric]:
        declared = next(metric for metric in METRICS if metric.name == INFO)
        family = GaugeMetricFamily(declared.name, declared.help, labels=declared.labels)
        if self.labels is not None:
            family.add_metric(self.labels, 1)
        yield family
