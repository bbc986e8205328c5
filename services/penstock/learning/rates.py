"""How fast each part of the model learns."""

from dataclasses import dataclass
from typing import Literal

from penstock.errors import ConfigurationError

Part = Literal["head", "last_block", "lower"]
PARTS: tuple[Part, ...] = ("head", "last_block", "lower")


@dataclass(frozen=True, kw_only=True)
class LearningRates:
    """The `[training.learning_rates]` section: factors on `training.learning_rate`, by part.

    Of a backbone's blocks the one nearest to the head is `last_block`, all others are `lower`.
    """

    head: float = 1.0
    last_block: float = 1.0
    lower: float = 1.0
    frozen: tuple[Part, ...] = ()
    """Parts that do not move."""
    unfreeze_after_events: int = 0
    """From so many events learnt on, frozen parts move too; 0: never."""

    def __post_init__(self) -> None:
        for part in PARTS:
            if not 0 < getattr(self, part) < float("inf"):
                raise ConfigurationError(
                    f"training.learning_rates.{part} is {getattr(self, part)}; it must be above 0"
                    " (a part that is not to move belongs into training.learning_rates.frozen)."
                )
        if self.unfreeze_after_events < 0:
            raise ConfigurationError(
                f"training.learning_rates.unfreeze_after_events is {self.unfreeze_after_events}; it must be 0 or more."
            )

    def still_at(self, events_learnt: int) -> frozenset[Part]:
        """The parts that do not move after so many events."""
        is_over = 0 < self.unfreeze_after_events <= events_learnt
        return frozenset() if is_over else frozenset(self.frozen)
