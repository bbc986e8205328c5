"""What learning reads of a batch's columns."""

from typing import Any

import numpy as np
import numpy.typing as npt

from penstock.wire import columns as column

_LEAST_WEIGHT, _LARGEST_WEIGHT = 1e-9, 1e9  # beyond these, sums of weights leave float32


def values_of(events: Any, name: str) -> npt.NDArray[Any]:
    """A column of numbers as an array [n]."""
    values: npt.NDArray[Any] = events.column(name).to_numpy()
    return values


def weights_of(events: Any) -> npt.NDArray[np.float32]:
    """What each event counts for, [n]."""
    # Not np.clip: at some dozens of rows its way to the same two operations takes longer than they do.
    clipped = np.minimum(np.maximum(values_of(events, column.WEIGHT), _LEAST_WEIGHT), _LARGEST_WEIGHT)
    weights: npt.NDArray[np.float32] = clipped.astype(np.float32)
    return weights


def places_of(events: Any) -> tuple[npt.NDArray[Any], npt.NDArray[Any], npt.NDArray[Any]]:
    """Partition, offset and row within its message of each event, [n] each."""
    return values_of(events, column.PARTITION), values_of(events, column.OFFSET), values_of(events, column.ROW)


def newest_ms(events: Any) -> int:
    """Kafka's timestamp of the newest of the events."""
    return int(values_of(events, column.TIMESTAMP_MS).max())
