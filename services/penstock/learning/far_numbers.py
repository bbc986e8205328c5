"""Numbers far from all others of their column, which count as nearer ones in its mean and deviation.

Clipped at k deviations, a share p of absurd numbers settles only where p·k² < 1; beyond, each of them raises the
deviation by which the next one is clipped. Ten deviations bear 1 %. What lies far out row after row is no mistake, but
another unit or level: it may count as a hundred, so that it is followed soon.
"""

import numpy as np
import numpy.typing as npt

NEAR = 10.0
"""Deviations; the network reads at most six."""
FAR = 100.0
OFTEN = 0.1
"""A share of far numbers that no mistakes have."""
_FADING = 0.99
"""A row: eleven on end that are far out are often."""
_NORMAL = 1.4826
"""Deviations of a normal distribution in its median distance from the median."""

Float32s = npt.NDArray[np.float32]
Float64s = npt.NDArray[np.float64]


class Reach:
    """How far a number may lie from the mean, by column, from the rows that came until then."""

    def __init__(self, width: int) -> None:
        self.far_share: Float64s = np.zeros(width)
        """Of the rows, the newest counting most, those that lay beyond `NEAR`."""

    def pass_by(self, num_rows: int) -> None:
        """Rows of which none was far out."""
        self.far_share *= _FADING**num_rows

    def clipped(self, rows: Float32s, mean: Float64s, deviation: Float64s) -> Float64s | None:
        """`rows` [n, width] with what is beyond reach in its place; None where all are near.

        A deviation may be infinite.
        """
        near = NEAR * deviation
        # In float32, which halves what large micro-batches pay, though hardly ever one has such a number.
        is_far = (rows > (mean + near).astype(np.float32)) | (rows < (mean - near).astype(np.float32))
        self.pass_by(len(rows))
        if not is_far.any():
            return None
        self.far_share += (1 - _FADING) * _FADING ** np.arange(len(rows) - 1, -1, -1) @ is_far
        reach = np.where(self.far_share < OFTEN, near, FAR * deviation)
        return np.clip(rows.astype(np.float64), mean - reach, mean + reach)


def within_reach_of_most(rows: Float64s) -> Float64s:
    """The first rows [n, width], of which no deviation is known yet, clipped about the median of each column.

    The measure is the median distance from it of the numbers that differ from it, so that one absurd number is found
    out in a column of zeros mostly, too, and an indicator is none.
    """
    middle = np.median(rows, axis=0)
    distances = np.abs(rows - middle)
    num_equal = (distances == 0).sum(axis=0)
    halfway = np.minimum((num_equal + len(rows) - 1) // 2, len(rows) - 1)
    usual = np.take_along_axis(np.sort(distances, axis=0), halfway[None], axis=0)[0]
    reach = np.where(usual > 0, NEAR * _NORMAL * usual, np.inf)
    reach[(distances > reach).mean(axis=0) >= OFTEN] = np.inf
    return np.clip(rows, middle - reach, middle + reach)
