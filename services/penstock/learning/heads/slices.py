"""How a micro-batch is cut, so that a new class is known to the rows right after its first one."""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

Int64s = npt.NDArray[np.int64]

BUSY_ROWS = 64
"""A larger micro-batch says that there is much to do."""
MOST_ROWS = 32
MOST_SLICES = 32
MOST_CUTS_AT_BIRTHS = 8
CLASSES_PER_ROW = 4
"""So many classes let a slice right after a birth be one row longer: among n classes the new one is mostly every n-th
row."""
MOST_CLASSES = 1000
"""With more, a micro-batch is one slice: every slice costs as much as there are classes."""


def slices(classes: Int64s, num_known: int, num_events: int, last_birth: int) -> Iterator[tuple[int, int]]:
    """Starts and stops of at most 41 slices of rows of these `classes` [n].

    A slice ends with the first row of a new class; few rows follow a birth or the start of the stream at once, where
    there is much to do a few more of many classes, of which the new one is but one. The arguments say how many classes
    and events there were before, and at which event the last birth was.
    """
    num_rows = len(classes)
    if num_known > MOST_CLASSES:
        yield 0, num_rows
        return
    is_busy = num_rows > BUSY_ROWS
    largest, of_others = (num_rows, num_known // CLASSES_PER_ROW) if is_busy else (MOST_ROWS, 0)
    births = np.flatnonzero(classes >= num_known)
    births = births[np.unique(classes[births], return_index=True)[1]][:MOST_CUTS_AT_BIRTHS] if len(births) else births
    cuts = sorted((births + 1).tolist())
    start = made = 0
    while start < num_rows:
        seen = num_events + start
        since_birth = seen - last_birth
        stop = start + max(1, min(largest, 1 + seen // 16, 1 + of_others + since_birth // 4))
        left = max(1, MOST_SLICES - made)
        stop = max(stop, start + -(-(num_rows - start) // left))
        if cuts and cuts[0] <= stop:
            stop = cuts.pop(0)
            last_birth = num_events + stop
        stop = min(stop, num_rows)
        yield start, stop
        start, made = stop, made + 1
