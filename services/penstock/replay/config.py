"""How much of the past is kept and how much of it joins each step."""

from dataclasses import dataclass

from penstock.errors import ConfigurationError


@dataclass(frozen=True, kw_only=True)
class ReplayConfig:
    """The `[replay]` section."""

    capacity: int = 10_000
    """Rows the reservoir holds; 0 learns without replay."""
    rows_per_step: int = 64
    """Rows drawn from the reservoir into each inner step."""

    def __post_init__(self) -> None:
        if self.capacity < 0:
            raise ConfigurationError(f"replay.capacity is {self.capacity}; it must be 0 or more.")
        if self.rows_per_step < 0:
            raise ConfigurationError(f"replay.rows_per_step is {self.rows_per_step}; it must be 0 or more.")
