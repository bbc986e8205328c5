"""What code reports through."""

from typing import Protocol

from penstock.telemetry.names import MetricName


class Telemetry(Protocol):
    """Where the code reports; an unknown label set is a programming error and raises."""

    def count(self, name: MetricName, amount: float = 1, /, **labels: str) -> None:
        """Add to a counter."""
        ...

    def gauge(self, name: MetricName, value: float, /, **labels: str) -> None:
        """Set a gauge."""
        ...

    def observe(self, name: MetricName, value: float, /, **labels: str) -> None:
        """Add one observation to a histogram."""
        ...

    def identify(self, *, model: str, version: int, sha256: str) -> None:
        """Make `penstock_model_info` show just these weights."""
        ...
