"""HDDM_A: the early warning over the errors of a stream (Frías-Blanco et al., IEEE TKDE 2015, section III-A).

The same decisions as `river.drift.binary.HDDMA`, for a batch at once: river's takes 4 µs an event, half a step's time.
"""

import math
from collections.abc import Mapping
from typing import cast

import numpy as np
import numpy.typing as npt

from penstock.flow import Json
from penstock.learning.watching.observed import Float64s

DRIFT_CONFIDENCE, WARNING_CONFIDENCE = 0.001, 0.005


class HddmA:
    """Warns when the mean of all errors is above the lowest it has been, by Hoeffding's bound.

    With z the mean of all n errors and x the earlier mean whose upper bound x + ε(n_x) was lowest, it warns where
    z − x ≥ √((n − n_x)/(2·n·n_x) · ln(2/confidence)). Once that holds with the drift confidence it starts anew.
    """

    def __init__(self) -> None:
        self._rows = 0
        self._errors = 0
        self._lowest_rows = 0
        self._lowest_errors = 0
        self.is_warning = False
        """At the last error."""

    def update(self, errors: npt.NDArray[np.bool_]) -> npt.NDArray[np.int64]:
        """Take in errors [n] in order; returns the places [k] at which a warning began."""
        begun = []
        start = 0
        while start < len(errors):
            warns, used = self._until_drift(errors[start:])
            before = np.concatenate(([self.is_warning], warns[:-1]))
            begun.append(start + np.flatnonzero(warns & ~before))
            self.is_warning = bool(warns[-1])
            start += used
        return np.concatenate(begun) if begun else np.empty(0, dtype=np.int64)

    def state(self) -> dict[str, Json]:
        """All of it."""
        return {
            "rows": self._rows,
            "errors": self._errors,
            "lowest_rows": self._lowest_rows,
            "lowest_errors": self._lowest_errors,
            "is_warning": self.is_warning,
        }

    def restore(self, state: Mapping[str, Json]) -> None:
        """Go on from `state()`. Raises `KeyError` for what is missing."""
        self._rows = cast(int, state["rows"])
        self._errors = cast(int, state["errors"])
        self._lowest_rows = cast(int, state["lowest_rows"])
        self._lowest_errors = cast(int, state["lowest_errors"])
        self.is_warning = bool(state["is_warning"])

    def _until_drift(self, errors: npt.NDArray[np.bool_]) -> tuple[npt.NDArray[np.bool_], int]:
        """Take in errors up to the first drift, or all of them.

        Returns whether it warns at each one taken in, and how many they are.
        """
        rows = np.arange(self._rows + 1, self._rows + len(errors) + 1, dtype=np.float64)
        sums = np.cumsum(errors, dtype=np.float64) + self._errors
        means = sums / rows
        bounds = means + _epsilon(rows)
        lowest_rows, lowest_errors = self._lowest(rows, sums, bounds)
        excess = means - lowest_errors / lowest_rows
        share = (rows - lowest_rows) / (2 * rows * lowest_rows)
        above = lowest_rows < rows
        drifts = above & (excess >= np.sqrt(share * math.log(2 / DRIFT_CONFIDENCE)))
        warns = above & (excess >= np.sqrt(share * math.log(2 / WARNING_CONFIDENCE)))
        if drifts.any():
            used = int(drifts.argmax()) + 1
            self._rows = self._errors = self._lowest_rows = self._lowest_errors = 0
        else:
            used = len(errors)
            self._rows, self._errors = int(rows[-1]), int(sums[-1])
            self._lowest_rows, self._lowest_errors = int(lowest_rows[-1]), int(lowest_errors[-1])
        return warns[:used], used

    def _lowest(self, rows: Float64s, sums: Float64s, bounds: Float64s) -> tuple[Float64s, Float64s]:
        """At each error, rows and errors of the mean with the lowest bound so far, the latest of equals."""
        before = math.inf
        if self._lowest_rows:
            before = self._lowest_errors / self._lowest_rows + float(_epsilon(np.float64(self._lowest_rows)))
        lowest = np.minimum.accumulate(np.concatenate(([before], bounds)))[1:]
        places = np.maximum.accumulate(np.where(bounds <= lowest, np.arange(len(bounds)), -1))
        earlier = places < 0
        return np.where(earlier, self._lowest_rows, rows[places]), np.where(earlier, self._lowest_errors, sums[places])


def _epsilon(rows: Float64s | np.float64) -> Float64s:
    """Hoeffding's bound of a mean of so many errors."""
    return np.asarray(np.sqrt(math.log(1 / DRIFT_CONFIDENCE) / (2 * rows)))
