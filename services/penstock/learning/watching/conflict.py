"""After an alarm: whether a class's remembered rows contradict the new ones, or it is only harder now.

Where the inputs have shifted or the task is new, one model can be right about old rows and new ones. Where the meaning
of labels has changed it cannot: once it has learnt the new rows, it is wrong about the old ones. So the verdict
compares losses after some learning, and only a conflict lets old rows expire.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from penstock.learning.watching.observed import Float64s, Int64s

LEAST_ROWS = 8
"""Of each kind, before a class is judged."""
LEAST_CONFLICT = float(np.log(2))
"""Nats by which remembered rows must be worse: the label's probability is half as high."""
SIGNIFICANT = 3.0
"""Standard errors of the difference of the two means."""


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """By class [C]: `conflict`, mean loss of remembered rows minus mean loss of fresh rows in nats, nan where too few.

    `expired` bool [C]: classes whose remembered rows contradict the new ones.
    """

    conflict: Float64s
    expired: npt.NDArray[np.bool_]


def verdict(
    *,
    remembered_classes: Int64s,
    remembered_losses: Float64s,
    fresh_classes: Int64s,
    fresh_losses: Float64s,
    num_classes: int,
) -> Verdict:
    """Judge every class from rows [n] of the long-term memory and the newest rows [m], all under the present model."""
    old_rows, old_mean, old_error = _moments(remembered_classes, remembered_losses, num_classes)
    new_rows, new_mean, new_error = _moments(fresh_classes, fresh_losses, num_classes)
    judged = (old_rows >= LEAST_ROWS) & (new_rows >= LEAST_ROWS)
    conflict = np.where(judged, old_mean - new_mean, np.nan)
    certain = conflict >= SIGNIFICANT * np.sqrt(old_error + new_error)  # False for nan
    return Verdict(conflict=conflict, expired=certain & (conflict >= LEAST_CONFLICT))


def _moments(classes: Int64s, values: Float64s, num_classes: int) -> tuple[Float64s, Float64s, Float64s]:
    """By class [C]: rows, their mean, and the variance of that mean; 0 for a class without rows."""
    rows = np.bincount(classes, minlength=num_classes).astype(np.float64)
    divisors = np.maximum(rows, 1)
    mean = np.bincount(classes, values, num_classes) / divisors
    squares = np.bincount(classes, np.square(values - mean[classes]), num_classes)
    return rows, mean, squares / divisors / np.maximum(rows - 1, 1)
