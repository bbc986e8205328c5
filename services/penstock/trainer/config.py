"""When updates go out (`[publish]`) and where the trainer keeps its state (`[state]`)."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from penstock.errors import ConfigurationError
from penstock.learning.champion import Bounds
from penstock.learning.set_aside import HoldOut

MOST_HELD_OUT = 0.5


@dataclass(frozen=True, kw_only=True)
class GateConfig:
    """The `[publish.gate]` section: a candidate that is worse than the served version is not announced."""

    enabled: bool = False
    held_out_share: float = 0.02
    """Share of events that are never learnt, so that versions can be compared on them."""
    rows_per_class: int = 100
    """The newest held-out events that are kept of each class."""
    margin: float = 0.05
    """By how much of accuracy a candidate may be worse; more, at this confidence, and it is refused."""
    class_margin: float = 0.2
    """By how much of its recall any class may be worse."""
    confidence: float = 0.95

    def __post_init__(self) -> None:
        where = "publish.gate"
        if not 0 < self.held_out_share <= MOST_HELD_OUT:
            raise ConfigurationError(
                f"{where}.held_out_share is {self.held_out_share}; it must be above 0 and at most {MOST_HELD_OUT}."
            )
        if self.rows_per_class < 1:
            raise ConfigurationError(f"{where}.rows_per_class is {self.rows_per_class}; it must be at least 1.")
        for name in ("margin", "class_margin"):
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigurationError(f"{where}.{name} is {getattr(self, name)}; it must be from 0 to 1.")
        if not 0.5 <= self.confidence < 1:
            raise ConfigurationError(f"{where}.confidence is {self.confidence}; it must be at least 0.5 and below 1.")

    @property
    def hold_out(self) -> HoldOut | None:
        """What is not to be learnt; None where the gate is off."""
        return HoldOut(share=self.held_out_share, rows_per_class=self.rows_per_class) if self.enabled else None

    @property
    def bounds(self) -> Bounds:
        """How much worse a candidate may be."""
        return Bounds(margin=self.margin, class_margin=self.class_margin, confidence=self.confidence)


@dataclass(frozen=True, kw_only=True)
class PublishConfig:
    """The `[publish]` section."""

    min_interval_seconds: float = 0.1
    """Updates are at least this far apart; when there is something new it is announced within this time."""
    max_interval_seconds: float = 5.0
    """The most that the interval grows to where taking a candidate is slow (large models)."""
    inline_max_bytes: int = 524_288
    """Weights up to this size travel inside the model-updated event; larger ones by URI, or what changed in them."""
    delta_updates: bool = True
    """Of larger weights, announce only what changed since the last whole ones, where that is within this size."""
    full_interval_seconds: float = 300.0
    """Whole weights are announced at least this often, by the first update that is due."""
    signing_key_file: str = ""
    """A file with a key, of at least 16 characters, that signs every update; of several, one a line, the first."""
    gate: GateConfig = field(default_factory=GateConfig)

    def __post_init__(self) -> None:
        if not 0 < self.min_interval_seconds <= self.max_interval_seconds < float("inf"):
            raise ConfigurationError(
                f"publish.min_interval_seconds is {self.min_interval_seconds} and publish.max_interval_seconds is "
                f"{self.max_interval_seconds}; both must be above 0, the minimum not above the maximum."
            )
        if self.inline_max_bytes < 0:
            raise ConfigurationError(f"publish.inline_max_bytes is {self.inline_max_bytes}; it must be 0 or more.")
        if not self.full_interval_seconds > 0:
            raise ConfigurationError(
                f"publish.full_interval_seconds is {self.full_interval_seconds}; it must be above 0."
            )


@dataclass(frozen=True, kw_only=True)
class StateConfig:
    """The `[state]` section."""

    directory: Path = Path("state")
    """Checkpoints lie in `<directory>/<model>/`; one trainer at a time."""
    checkpoints_kept: int = 3
    """Newest checkpoints kept on disk."""
    on_write_failure: Literal["go-on", "pause"] = "go-on"
    """While a checkpoint cannot be written (disk full, read-only, broken): learn on, or wait until it can."""

    def __post_init__(self) -> None:
        if self.checkpoints_kept < 2:
            raise ConfigurationError(
                f"state.checkpoints_kept is {self.checkpoints_kept}; it must be at least 2, to survive a torn newest."
            )


@dataclass(frozen=True, kw_only=True)
class TelemetryConfig:
    """The `[telemetry]` section: the trainer's `/metrics`. A replica serves them on its own port."""

    host: str = "127.0.0.1"
    port: int = 9108
    """0 takes a free port and logs it."""

    def __post_init__(self) -> None:
        if not 0 <= self.port <= 65_535:
            raise ConfigurationError(f"telemetry.port is {self.port}; it must be from 0 to 65535.")
