"""What the closed-form and the instance heads read of a row: standardised in steps, and never wider than 512.

It is the row as encoded, or a frozen backbone's features of it.

Numbers are standardised by moments that are taken over when the stream has grown by a quarter and then stand still, so
that what a head has stored stays comparable, and a row can be taken out of exact sums as it was put in.
"""

import numpy as np
import numpy.typing as npt

from penstock.learning.heads.frozen import FrozenFeatures
from penstock.learning.rows import EncodedRows
from penstock.learning.standardiser import CLIPPED_AT, Moments

Float64s = npt.NDArray[np.float64]

MAX_WIDTH = 512
_GROWTH = 1.25
_SIGNS_TAG = 0x516E


class HeadInputs:
    """Rows as encoded to float64 [n, width]."""

    def __init__(
        self, num_numbers: int, dense_width: int, *, seed: int, features: FrozenFeatures | None = None
    ) -> None:
        """`features` are those of a frozen backbone, if they are what is to be read."""
        self._num_numbers = num_numbers
        self._features = features
        self.reads_backbone = features is not None
        read_width = dense_width if features is None else features.width
        self._read_width = read_width
        self.width = min(read_width, MAX_WIDTH)
        self.mean: Float64s = np.zeros(num_numbers)
        self.inverse_deviation: Float64s = np.ones(num_numbers)
        self.taken_at = 0
        generator = np.random.Generator(np.random.PCG64((seed, _SIGNS_TAG)))
        self._signs = generator.integers(0, 2, read_width) * 2.0 - 1.0 if read_width > MAX_WIDTH else None
        self._order = generator.permutation(read_width) if read_width > MAX_WIDTH else None

    def follow(self, moments: Moments) -> bool:
        """Take over the moments if the stream has grown by a quarter since; True if it did."""
        if not self._num_numbers or moments.count < self.taken_at * _GROWTH or moments.count == self.taken_at:
            return False
        self.mean = moments.mean.copy()
        self.inverse_deviation = moments.inverse_deviation.copy()
        self.taken_at = moments.count
        return True

    @property
    def fingerprint(self) -> str | None:
        """Of the backbone whose features are read; None where rows are read as encoded."""
        return None if self._features is None else self._features.fingerprint

    def __call__(self, rows: EncodedRows) -> Float64s:
        """Standardised, clipped to ±6; rows wider than 512 summed into 512 columns with random signs.

        The values are those of float32, so that rows which were written to a file are the same rows.
        """
        return self.standardised(rows, self.mean, self.inverse_deviation)

    def standardised(self, encoded: EncodedRows, mean: Float64s, inverse_deviation: Float64s) -> Float64s:
        """The same by other moments, such as those of an earlier time: [d], or [n, d] where each row has its own."""
        rows: Float64s = encoded.dense.astype(np.float64)
        if self._num_numbers:
            numbers = rows[:, : self._num_numbers]
            numbers -= mean
            numbers *= inverse_deviation
            np.minimum(np.maximum(numbers, -CLIPPED_AT, out=numbers), CLIPPED_AT, out=numbers)
        if self._features is not None:
            rows = self._features(rows, encoded.tokens)
        if self._signs is None or self._order is None:
            return rows.astype(np.float32).astype(np.float64) if self._num_numbers else rows
        num_parts = -(-self._read_width // MAX_WIDTH)
        padded = np.zeros((len(rows), num_parts * MAX_WIDTH))
        padded[:, : self._read_width] = (rows * self._signs)[:, self._order]
        summed: Float64s = np.add.reduce(padded.reshape(len(rows), num_parts, MAX_WIDTH), axis=1)
        rounded: Float64s = summed.astype(np.float32).astype(np.float64)
        return rounded
