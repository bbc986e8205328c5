"""Rows that have just come, and what is said of them before they are learnt."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from penstock.learning.heads.exceptions import RowKeys
from penstock.learning.rows import EncodedRows

Float64s = npt.NDArray[np.float64]
Int64s = npt.NDArray[np.int64]
UInt64s = npt.NDArray[np.uint64]


@dataclass(frozen=True, kw_only=True)
class FreshRows:
    """A slice as the heads see it: rows as `encoded`, and their `inputs` [n, d], in the order of the events."""

    encoded: EncodedRows
    inputs: Float64s
    keys_of: RowKeys
    classes: Int64s
    weights: npt.NDArray[np.float32]
    priorities: UInt64s

    @cached_property
    def keys(self) -> UInt64s:
        """[n, 2], worked out when first asked for: of most rows nobody asks."""
        return self.keys_of(self.encoded.dense, self.encoded.tokens)

    def at(self, places: Int64s) -> "FreshRows":
        """Some of them."""
        return FreshRows(
            encoded=EncodedRows(dense=self.encoded.dense[places], tokens=self.encoded.tokens[places]),
            inputs=self.inputs[places],
            keys_of=self.keys_of,
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
