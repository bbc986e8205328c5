"""How micro-batches close and when a stream of invalid events stops the trainer."""

from dataclasses import dataclass, field

from penstock.errors import ConfigurationError


@dataclass(frozen=True, kw_only=True)
class LateLabelsConfig:
    """The `[intake.late_labels]` section: how a label finds the prediction it names, with `serving.prediction_log`."""

    window_seconds: float = 3600.0
    """A prediction is joined to labels that come up to this long after it; the topic keeps it twice as long."""
    wait_seconds: float = 1.0
    """A label that overtook its prediction waits this long for it, and the events behind it with it."""
    max_predictions: int = 100_000
    """Of the window only this many, the newest, are held …"""
    max_bytes: int = 268_435_456
    """… and only as many as make this many bytes."""

    def __post_init__(self) -> None:
        where = "intake.late_labels"
        if not 0 < self.window_seconds < float("inf"):
            raise ConfigurationError(f"{where}.window_seconds is {self.window_seconds}; it must be above 0.")
        if not 0 <= self.wait_seconds < float("inf"):
            raise ConfigurationError(f"{where}.wait_seconds is {self.wait_seconds}; it must be 0 or more.")
        for name in ("max_predictions", "max_bytes"):
            if getattr(self, name) < 1:
                raise ConfigurationError(f"{where}.{name} is {getattr(self, name)}; it must be at least 1.")


@dataclass(frozen=True, kw_only=True)
class IntakeConfig:
    """The `[intake]` section."""

    max_events: int = 256
    """A micro-batch closes at this many events, and no training step takes more fresh rows."""
    max_age_seconds: float = 0.02
    """A micro-batch closes this long after its first event; 0: by count alone, in a fixed rotation of partitions."""
    idle_seconds: float = 1.0
    """With `max_age_seconds = 0`: the unfilled last batch closes once the log stood still this long; 0: never."""
    invalid_window: int = 1000
    """Number of newest events over which the share of invalid ones is measured."""
    max_invalid_ratio: float = 0.5
    """The trainer stops beyond this share of invalid events in a full window."""
    max_invalid_run: int = 1000
    """The trainer stops at this many invalid events in a row."""
    dedupe_window_events: int = 0
    """An event whose `event_id` was among so many events before it is not learnt again; 0: ids are not looked at."""
    late_labels: LateLabelsConfig = field(default_factory=LateLabelsConfig)

    def __post_init__(self) -> None:
        if self.max_events < 1:
            raise ConfigurationError(f"intake.max_events is {self.max_events}; it must be at least 1.")
        if not 0 <= self.max_age_seconds < float("inf"):
            raise ConfigurationError(f"intake.max_age_seconds is {self.max_age_seconds}; it must be 0 or more.")
        if not 0 <= self.idle_seconds < float("inf"):
            raise ConfigurationError(f"intake.idle_seconds is {self.idle_seconds}; it must be 0 or more.")
        if self.invalid_window < 1:
            raise ConfigurationError(f"intake.invalid_window is {self.invalid_window}; it must be at least 1.")
        if not 0 < self.max_invalid_ratio <= 1:
            raise ConfigurationError(
                f"intake.max_invalid_ratio is {self.max_invalid_ratio}; it must be above 0 and at most 1."
            )
        if self.dedupe_window_events < 0:
            raise ConfigurationError(
                f"intake.dedupe_window_events is {self.dedupe_window_events}; it must be 0 or more."
            )
        if self.max_invalid_run < 1:
            raise ConfigurationError(f"intake.max_invalid_run is {self.max_invalid_run}; it must be at least 1.")
