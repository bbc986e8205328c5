"""When updates go out (`[publish]`) and where the trainer keeps its state (`[state]`)."""

from dataclasses import dataclass
from pathlib import Path

from penstock.errors import ConfigurationError


@dataclass(frozen=True, kw_only=True)
class PublishConfig:
    """The `[publish]` section."""

    min_interval_seconds: float = 0.1
    """Updates are at least this far apart; when there is something new it is announced within this time."""
    max_interval_seconds: float = 5.0
    """The most that the interval grows to where taking a candidate is slow (large models)."""
    inline_max_bytes: int = 524_288
    """Weights up to this size travel inside the model-updated event; larger ones by URI."""

    def __post_init__(self) -> None:
        if not 0 < self.min_interval_seconds <= self.max_interval_seconds < float("inf"):
            raise ConfigurationError(
                f"publish.min_interval_seconds is {self.min_interval_seconds} and publish.max_interval_seconds is "
                f"{self.max_interval_seconds}; both must be above 0, the minimum not above the maximum."
            )
        if self.inline_max_bytes < 0:
            raise ConfigurationError(f"publish.inline_max_bytes is {self.inline_max_bytes}; it must be 0 or more.")


@dataclass(frozen=True, kw_only=True)
class StateConfig:
    """The `[state]` section."""

    directory: Path = Path("state")
    """Checkpoints lie in `<directory>/<model>/`; one trainer at a time."""
    checkpoints_kept: int = 3
    """Newest checkpoints kept on disk."""

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
