"""Learning with the linear head and nothing beside it: the leanest configuration."""

import numpy as np
import torch

from penstock.learning.config import TrainingConfig
from penstock.learning.descending import descend, num_steps_for
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
    num_drawn = replay.rows_per_step if len(parts.reservoir) else 0
    is_busy = rows.num_in_batch > BUSY_ROWS
    num_steps = num_steps_for(training.inner_steps, len(fresh.classes), num_drawn, is_busy=is_busy)
    drawn = parts.reservoir.draw(num_steps * num_drawn, parts.draws) if num_drawn else None
    logits, loss = descend(parts, fresh, drawn, num_steps)
    asked = asked_of(len(fresh.classes), rows.step)
    known = (logits if predicted is None else predicted)[:, : rows.num_known]
    if len(asked) < len(known):
        known = known[torch.from_numpy(asked).to(known.device)]
    log_probabilities = torch.log_softmax(known, dim=1).cpu().numpy().astype(np.float64)
    parts.reservoir.add(parts.as_put_away(fresh), rows.priorities)
    return scored(fresh.classes, asked, log_probabilities, loss)
