"""Learning with the linear head and nothing beside it: the leanest configuration."""

import numpy as np
import torch
from torch import Tensor

from penstock.learning.config import TrainingConfig
from penstock.learning.descending import descend, num_steps_for
from penstock.learning.doubts import believed, errors_burst, go_on
from penstock.learning.heads.ensemble import URGENT_STEPS
from penstock.learning.heads.slices import BUSY_ROWS
from penstock.learning.lesson import Scored, Slice, asked_of, scored
from penstock.learning.parts import LearnerParts
from penstock.replay.config import ReplayConfig


def learn_linear(parts: LearnerParts, rows: Slice, training: TrainingConfig, replay: ReplayConfig) -> Scored:
    """Steps on fresh rows beside rows drawn from all that are kept; the first step's logits are the predictions."""
    fresh, served = rows.fresh, parts.descent.served
    is_asked_apart = served is not parts.network or served.backbone.mode_matters
    predicted = served.logits(fresh.dense, fresh.tokens) if is_asked_apart else None
    parts.imprint(fresh, rows.num_known)
    logits, loss = _descend(parts, rows, training, replay)
    found = _scored(rows, logits if predicted is None else predicted, loss)
    if errors_burst(parts, found):
        _, loss = _descend(parts, rows, training, replay)  # again, without what was replayed but is doubted now
    go_on(parts.doubt, found)
    parts.reservoir.add(parts.as_put_away(fresh), rows.priorities)
    return found


def _descend(parts: LearnerParts, rows: Slice, training: TrainingConfig, replay: ReplayConfig) -> tuple[Tensor, float]:
    num_fresh = len(rows.fresh.classes)
    num_drawn = replay.rows_per_step if len(parts.reservoir) else 0
    is_busy = rows.num_in_batch > BUSY_ROWS
    num_steps = num_steps_for(training.inner_steps, num_fresh, num_drawn, is_busy=is_busy)
    if parts.doubt.is_urgent:
        num_steps *= URGENT_STEPS
    return descend(parts, rows.fresh, believed(parts, num_steps * num_drawn, rows.fresh), num_steps)


def _scored(rows: Slice, logits: Tensor, loss: float) -> Scored:
    asked = asked_of(len(rows.fresh.classes), rows.step)
    known = logits[:, : rows.num_known]
    if len(asked) < len(known):
        known = known[torch.from_numpy(asked).to(known.device)]
    log_probabilities = torch.log_softmax(known, dim=1).cpu().numpy().astype(np.float64)
    return scored(rows.fresh.classes, asked, log_probabilities, loss)
