"""Every event's place in the lottery for a reservoir slot: a hash of where it stands in the log.

The same event has the same priority in every process, on every platform and at every delivery, so what a reservoir
keeps is a function of the set of events seen, whatever their order.
"""

import hashlib

import numpy as np
import numpy.typing as npt

UInt64s = npt.NDArray[np.uint64]

_GAMMA = np.uint64(0x9E3779B97F4A7C15)
_FIRST = np.uint64(0xBF58476D1CE4E5B9)
_SECOND = np.uint64(0x94D049BB133111EB)


def topic_seed(topic: str) -> int:
    """64 bits of blake2b of the topic's name."""
    return int.from_bytes(hashlib.blake2b(topic.encode(), digest_size=8).digest(), "little")


def event_priorities(
    seed: int,
    partitions: npt.NDArray[np.integer],
    offsets: npt.NDArray[np.integer],
    rows: npt.NDArray[np.integer],
) -> UInt64s:
    """Priorities uint64 [n] of the events at (partition, offset, row within the message), each array [n].

    Each coordinate goes through SplitMix64's step and finaliser (Steele, Lea, Flood, OOPSLA 2014), which is a
    bijection: two events of one message, or two messages of one partition, never share a priority.
    """
    place = _mixed(partitions.astype(np.uint64) + np.uint64(seed))
    place = _mixed(place + offsets.astype(np.uint64))
    return _mixed(place + rows.astype(np.uint64))


def _mixed(value: UInt64s) -> UInt64s:
    value = value + _GAMMA
    value = (value ^ (value >> np.uint64(30))) * _FIRST
    value = (value ^ (value >> np.uint64(27))) * _SECOND
    mixed: UInt64s = value ^ (value >> np.uint64(31))
    return mixed
