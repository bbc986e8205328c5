"""Every event's place in the lottery for a reservoir slot: a hash of where it stands in the log.

The same event has the same priority in every process, on every platform and at every delivery, so what a reservoir
keeps is a function of the set of events seen, whatever their order.
"""

import hashlib
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Int64s = npt.NDArray[np.int64]
UInt64s = npt.NDArray[np.uint64]

_ROW_BITS = np.uint64(24)
_GAMMA = np.uint64(0x9E3779B97F4A7C15)
_FIRST = np.uint64(0xBF58476D1CE4E5B9)
_SECOND = np.uint64(0x94D049BB133111EB)


class EventPriorities:
    """The priorities of one topic's events."""

    def __init__(self, topic: str, truncated: Sequence[tuple[int, int]] = ()) -> None:
        """`truncated`: (partition, offset), in order; what stands there or later is not what once stood there."""
        self._truncated = truncated
        self._seed = np.uint64(int.from_bytes(hashlib.blake2b(topic.encode(), digest_size=8).digest(), "little"))
        self._bases: UInt64s = np.empty(0, dtype=np.uint64)  # by partition

    def at(self, partitions: npt.NDArray[np.int32], offsets: Int64s, rows: npt.NDArray[np.int32]) -> UInt64s:
        """uint64 [n] of the events at (partition, offset, row within the message), each array [n].

        SplitMix64 (Steele, Lea, Flood, OOPSLA 2014), a bijection, of the place after the partition's own base: no
        two events of a partition share a priority while it has fewer than 2^40 messages of fewer than 2^24 rows.
        """
        places = (offsets.astype(np.uint64) << _ROW_BITS) + rows.astype(np.uint64)
        bases = self._bases_to(int(partitions.max()))[partitions]
        for partition, resumed_at in self._truncated:
            bases = np.where((partitions == partition) & (offsets >= resumed_at), _mixed(bases), bases)
        return _mixed(places + bases)

    def _bases_to(self, partition: int) -> UInt64s:
        if partition >= len(self._bases):
            self._bases = _mixed(np.arange(partition + 1, dtype=np.uint64) ^ self._seed)
        return self._bases


def _mixed(values: UInt64s) -> UInt64s:
    values = values + _GAMMA
    values ^= values >> np.uint64(30)
    values *= _FIRST
    values ^= values >> np.uint64(27)
    values *= _SECOND
    values ^= values >> np.uint64(31)
    return values
