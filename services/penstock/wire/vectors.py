"""A column of vectors between the wire and the batch: lists of any length in, fixed-width float32 rows out."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class VectorColumn:
    """n vectors: `values` float32 [all of them], row i is `values[offsets[i]:offsets[i + 1]]`; `null` bool [n].

    What the wire has as null within a vector is NaN here. A null row may have any length.
    """

    values: npt.NDArray[np.float32]
    offsets: npt.NDArray[np.int64]
    null: Mask
    width: int

    @classmethod
    def of(cls, column: Any, width: int) -> "VectorColumn":
        """Take a list, large_list or fixed_size_list array of floats; numbers beyond float32 become infinite."""
        if pa.types.is_fixed_size_list(column.type):
            size = column.type.list_size
            offsets = np.arange(column.offset, column.offset + len(column) + 1, dtype=np.int64) * size
        else:
            offsets = column.offsets.to_numpy().astype(np.int64)
        with np.errstate(over="ignore"):
            values = column.values.to_numpy(zero_copy_only=False).astype(np.float32, copy=False)
        null = np.zeros(len(column), dtype=np.bool_)
        if column.null_count:
            null = column.is_null().to_numpy(zero_copy_only=False)
        return cls(values[offsets[0] : offsets[-1]], offsets - offsets[0], null, width)

    def length(self, row: int) -> int:
        """How many numbers a row holds."""
        return int(self.offsets[row + 1] - self.offsets[row])

    def wrong_width(self) -> Mask:
        """Rows that do not hold `width` numbers; null rows are not among them."""
        mask: Mask = (np.diff(self.offsets) != self.width) & ~self.null
        return mask

    def not_finite(self) -> Mask | None:
        """Rows with a number that is NaN or infinite; None if there is none."""
        finite = np.isfinite(self.values)
        if finite.all():
            return None
        mask = np.zeros(len(self.null), dtype=np.bool_)
        mask[np.searchsorted(self.offsets, np.flatnonzero(~finite), side="right") - 1] = True
        return mask & ~self.null

    def first_not_finite(self, row: int) -> str:
        """`[3] is inf`: the first such number of a row that has one."""
        values = self.values[self.offsets[row] : self.offsets[row + 1]]
        position = int(np.flatnonzero(~np.isfinite(values))[0])
        return f"[{position}] is {'null or NaN' if np.isnan(values[position]) else values[position]}"

    def array(self, kept: Mask | None) -> Any:
        """fixed_size_list<float32>[width] of the kept rows (None: all), every one of the right width."""
        values = self.values
        if kept is not None:
            values = values[self.offsets[:-1][kept][:, np.newaxis] + np.arange(self.width)].reshape(-1)
        return pa.FixedSizeListArray.from_arrays(pa.array(values, pa.float32()), self.width)
