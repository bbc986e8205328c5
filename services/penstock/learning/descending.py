"""The linear head's gradient steps on a slice of a micro-batch."""

import math
from typing import Literal

from torch import Tensor

from penstock.errors import DivergedError
from penstock.learning.mixing import mixed
from penstock.learning.parts import LearnerParts
from penstock.learning.train_rows import TrainRows

GRADIENTS_PER_EVENT = 30
MOST_STEPS = 10


def num_steps_for(configured: int | Literal["auto"], num_fresh: int, num_drawn: int, *, is_busy: bool) -> int:
    """The number configured, or so many that every event brings about 30 row gradients, 1 where there is much to do."""
    if configured != "auto":
        return configured
    if is_busy or not num_fresh:
        return 1
    return min(max(round(GRADIENTS_PER_EVENT * num_fresh / (num_fresh + num_drawn)), 1), MOST_STEPS)


def descend(parts: LearnerParts, fresh: TrainRows, drawn: TrainRows | None, num_steps: int) -> tuple[Tensor, float]:
    """`num_steps` steps on the fresh rows, each with its share of the drawn ones; there is at least one row.

    Returns the fresh rows' logits [n, capacity] before the first step, and the last step's loss.

    Raises:
        DivergedError: the loss is no longer finite.
    """
    backbone = parts.network.backbone
    rows = mixed(fresh, drawn, num_steps, parts.network.standardiser)
    if backbone.mode_matters and parts.descent.backbone_moves:  # a frozen one keeps its batch statistics too
        backbone.train(rows.classes.shape[1] > 1)  # one row alone has no batch statistics
    first_logits, last_loss = parts.descent.run(rows)
    if backbone.mode_matters:
        backbone.eval()
    loss = float(last_loss)
    if not math.isfinite(loss):
        raise DivergedError(f"The loss is {loss}")
    return first_logits[: len(fresh.classes)], loss
