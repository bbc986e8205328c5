"""What is known of the rows of a micro-batch that were predicted before they were learnt."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from penstock.flow import Array

Int64s = npt.NDArray[np.int64]
Float64s = npt.NDArray[np.float64]

NOTHING = -1
"""In `predicted`: no class was known yet."""


@dataclass(frozen=True, kw_only=True)
class ObservedRows:
    """Columns of n rows in the order in which they came; classes by index in the ledger.

    `labels` int64 [n]; `predicted` int64 [n], `NOTHING` where there was nothing to predict; `losses` float64 [n], −ln
    of the probability that the label had, in nats.
    """

    labels: Int64s
    predicted: Int64s
    losses: Float64s

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def hits(self) -> npt.NDArray[np.bool_]:
        """[n]: predicted right."""
        return np.equal(self.labels, self.predicted)

    @classmethod
    def empty(cls) -> "ObservedRows":
        """No rows."""
        nothing = np.empty(0, dtype=np.int64)
        return cls(labels=nothing, predicted=nothing, losses=np.empty(0))

    @classmethod
    def joined(cls, parts: Sequence["ObservedRows"]) -> "ObservedRows":
        """All their rows, in order."""
        if len(parts) == 1:
            return parts[0]
        return cls(
            labels=np.concatenate([part.labels for part in parts]),
            predicted=np.concatenate([part.predicted for part in parts]),
            losses=np.concatenate([part.losses for part in parts]),
        )

    def tensors(self) -> dict[str, Array]:
        """The columns by name."""
        return {"labels": self.labels, "predicted": self.predicted, "losses": self.losses}

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, Array]) -> "ObservedRows":
        """The inverse of `tensors`. Raises `KeyError` for what is missing."""
        return cls(
            labels=tensors["labels"].astype(np.int64),
            predicted=tensors["predicted"].astype(np.int64),
            losses=tensors["losses"].astype(np.float64),
        )
