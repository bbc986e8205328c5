"""Rows that have just come, and what is said of them before they are learnt."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Float64s = npt.NDArray[np.float64]
Float32s = npt.NDArray[np.float32]
Int64s = npt.NDArray[np.int64]
UInt64s = npt.NDArray[np.uint64]


@dataclass(frozen=True, kw_only=True)
class FreshRows:
    """A slice as the heads see it: encoded `dense` [n, D] and `inputs` [n, d], in the order of the events."""

    dense: Float32s
    inputs: Float64s
    keys: UInt64s
    classes: Int64s
    weights: Float32s
    priorities: UInt64s

    def at(self, places: Int64s) -> "FreshRows":
        """Some of them."""
        return FreshRows(
            dense=self.dense[places],
            inputs=self.inputs[places],
            keys=self.keys[places],
            classes=self.classes[places],
            weights=self.weights[places],
            priorities=self.priorities[places],
        )


@dataclass(frozen=True, kw_only=True)
class Predictions:
    """Of rows before they are learnt: members' scores and opinions [K, n, C], the mixture's probabilities [n, C]."""

    scores: Float64s
    opinions: Float64s
    probabilities: Float64s
