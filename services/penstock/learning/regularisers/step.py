"""What one gradient step looks at, for those who change its loss."""

from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from penstock.learning.regularisers.remembered import RememberedLogits


@dataclass(frozen=True, kw_only=True)
class Step:
    """The rows of one step, the `num_fresh` first of them fresh, the others drawn from those kept.

    `classes` int64 [n, 1] and `shares` float32 [n, 1] (the rows' weights, summing to 1); `remembered` is what the
    model said of the drawn rows when they were put away.
    """

    classes: Tensor
    shares: Tensor
    num_fresh: int
    remembered: RememberedLogits | None = None


class LossTerm(Protocol):
    """A loss beside or in place of the cross-entropy."""

    def adjust(self, gradients: Tensor, logits: Tensor, step: Step) -> None:
        """Change the loss's gradient by logit [n, capacity] in place; `logits` are −∞ past the classes there are."""
        ...
