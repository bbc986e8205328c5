"""Telemetry that a test can read back; what it takes is checked against the table of metrics."""

from typing import Literal

from penstock.adapters.prometheus.telemetry import PrometheusTelemetry


class CountedTelemetry(PrometheusTelemetry):
    """One side's metrics, and their values by name and labels."""

    def __init__(self, side: Literal["trainer", "replica"] = "replica") -> None:
        super().__init__(side=side)

    def value(self, name: str, **labels: str) -> float:
        """Of one sample, as Prometheus would scrape it; 0 if there is none."""
        return self.registry.get_sample_value(name, labels) or 0.0

    def results(self) -> dict[str, float]:
        """`penstock_swaps_total` by result."""
        return {
            sample.labels["result"]: sample.value
            for family in self.registry.collect()
            for sample in family.samples
            if sample.name == "penstock_swaps_total"
        }
