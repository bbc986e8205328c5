"""How much of the past is kept and how much of it joins each step."""

from dataclasses import dataclass
from typing import Literal

from penstock.errors import ConfigurationError

Policy = Literal["class_balanced", "uniform", "recency", "window"]


@dataclass(frozen=True, kw_only=True)
class ReplayConfig:
    """The `[replay]` section."""

    capacity: int = 10_000
    """Rows the reservoir holds; 0 learns without replay."""
    rows_per_step: int = 64
    """Rows drawn from the reservoir into each inner step."""
    policy: Policy = "class_balanced"
    """Which events the reservoir keeps: as many of each class, a uniform sample of all, the newer the likelier, or
    the newest."""
    half_life_events: float = 10_000.0
    """`recency`: an event's odds of being kept halve with so many events learnt after it."""

    def __post_init__(self) -> None:
        if self.capacity < 0:
            raise ConfigurationError(f"replay.capacity is {self.capacity}; it must be 0 or more.")
        if self.rows_per_step < 0:
            raise ConfigurationError(f"replay.rows_per_step is {self.rows_per_step}; it must be 0 or more.")
        if not 0 < self.half_life_events < float("inf"):
            raise ConfigurationError(f"replay.half_life_events is {self.half_life_events}; it must be above 0.")
