"""Whether an update carries whole weights or only what has changed since the last whole ones."""

from dataclasses import dataclass, field

from penstock.clock import Clock
from penstock.flow import Delta, ModelUpdate, Weights
from penstock.learning.weights_delta import delta_between
from penstock.trainer.config import PublishConfig


@dataclass(frozen=True, kw_only=True)
class Base:
    """Whole weights as they were announced, by URI, at a monotonic time."""

    weights: Weights = field(repr=False)
    version: int
    uri: str
    announced_at_seconds: float


class Deltas:
    """For weights that are too large to travel inline, the announcer's thread asks.

    Every delta is relative to the last whole weights, and so good by itself: one that is lost or comes twice spoils
    nothing, and whoever comes late needs the newest one and its base. What has changed since then grows; when it does
    not fit inline any more, or after a while anyway, whole weights are announced again.
    """

    def __init__(self, config: PublishConfig, clock: Clock) -> None:
        self._config = config
        self._clock = clock
        self._base: Base | None = None

    def delta_of(self, weights: Weights) -> Delta | None:
        """How to announce these weights, or None if they are to be announced whole."""
        base = self._base
        if base is None or not self._is_due_for(weights, base):
            return None
        content = delta_between(base.weights.content, weights.content, max_bytes=self._config.inline_max_bytes)
        if content is None:
            return None
        return Delta(
            content=content,
            base_version=base.version,
            base_sha256=base.weights.sha256,
            base_size_bytes=base.weights.size_bytes,
            base_uri=base.uri,
        )

    def announced(self, weights: Weights, update: ModelUpdate) -> None:
        """Build on these weights from now on, if this update has announced them whole."""
        if update.uri is not None and self._config.delta_updates:
            self._base = Base(
                weights=weights,
                version=update.version,
                uri=update.uri,
                announced_at_seconds=self._clock.monotonic_seconds(),
            )

    def _is_due_for(self, weights: Weights, base: Base) -> bool:
        if weights.size_bytes <= self._config.inline_max_bytes:
            return False
        return self._clock.monotonic_seconds() < base.announced_at_seconds + self._config.full_interval_seconds
