"""Means by class, in the same order of summing on every device."""

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

CLASSES_AT_ONCE = 1024
"""A mark for each row of each of so many fits into some MiB."""


def class_means(features: Tensor, classes: npt.NDArray[np.int64]) -> Tensor:
    """[C, H]: the mean of `features` [n, H] of each of `classes` [n], which are 0 to C − 1, each there."""
    means = []
    for first in range(0, int(classes.max()) + 1, CLASSES_AT_ONCE):
        rows = np.flatnonzero((classes >= first) & (classes < first + CLASSES_AT_ONCE))
        of_rows = classes[rows] - first
        is_of = np.zeros((int(of_rows.max()) + 1, len(rows)), dtype=np.float32)
        is_of[of_rows, np.arange(len(rows))] = 1.0
        chosen = torch.from_numpy(is_of).to(features.device)
        theirs = features if len(rows) == len(classes) else features[torch.from_numpy(rows).to(features.device)]
        # Not index_add_, whose order of summing on a GPU is another each time.
        means.append((chosen @ theirs) / chosen.sum(dim=1).unsqueeze(1))
    return torch.cat(means)
