"""Fresh rows and rows of the reservoir in the same steps."""

import numpy as np
import torch

from penstock.learning.descent import StepRows
from penstock.learning.standardiser import Standardiser
from penstock.learning.train_rows import TrainRows


def mixed(fresh: TrainRows, drawn: TrainRows | None, num_steps: int, standardise: Standardiser) -> StepRows:
    """All fresh rows first in each of `num_steps` steps; the drawn ones, a multiple of it, dealt out over the steps."""
    num_fresh = len(fresh.classes)
    num_drawn = len(drawn.classes) // num_steps if drawn is not None else 0
    if num_steps == 1 and drawn is not None:  # one call for all rows costs half of two
        dense = standardise(torch.cat((fresh.dense, drawn.dense))).unsqueeze(0)
    else:
        dense = standardise(fresh.dense).expand(num_steps, *fresh.dense.shape)
    tokens = fresh.tokens.expand(num_steps, *fresh.tokens.shape)
    classes = np.empty((num_steps, num_fresh + num_drawn), dtype=np.int64)
    weights = np.empty((num_steps, num_fresh + num_drawn), dtype=np.float32)
    classes[:, :num_fresh] = fresh.classes
    weights[:, :num_fresh] = fresh.weights
    if drawn is not None:
        if num_steps > 1:
            dense = torch.cat((dense, standardise(drawn.dense).view(num_steps, num_drawn, -1)), dim=1)
        if tokens.shape[2]:
            tokens = torch.cat((tokens, drawn.tokens.view(num_steps, num_drawn, -1)), dim=1)
        classes[:, num_fresh:] = drawn.classes.reshape(num_steps, num_drawn)
        weights[:, num_fresh:] = drawn.weights.reshape(num_steps, num_drawn)
    device = fresh.dense.device
    return StepRows(
        dense=dense,
        tokens=tokens,
        classes=torch.from_numpy(classes).to(device),
        shares=torch.from_numpy(weights / weights.sum(axis=1, keepdims=True)).to(device),
        fresh_weights=torch.from_numpy(fresh.weights).to(device),
        remembered=None if drawn is None else drawn.remembered,
    )
