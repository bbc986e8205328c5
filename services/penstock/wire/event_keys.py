"""Event ids as numbers of 64 bits, the same in every process: what tells a repeated event at a glance.

A new id has the number of another of a window of a million with a chance of 1e-13. The bytes are mixed eight at a time
for all rows at once, at the end by the finaliser of SplitMix64; long ids, which are rare, go through BLAKE2b.
"""

import hashlib
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

Keys = npt.NDArray[np.uint64]

NO_KEYS: Final[Keys] = np.empty(0, dtype=np.uint64)
WORD_BYTES: Final = 8
GAMMA: Final = np.uint64(0x9E3779B97F4A7C15)
FIRST: Final = np.uint64(0xBF58476D1CE4E5B9)
SECOND: Final = np.uint64(0x94D049BB133111EB)
LONG_BYTES: Final = 64
"""Ids longer than this are hashed one by one, so that one of a megabyte costs no other row anything."""


def keys_of(event_ids: Any) -> Keys:
    """[n] for a pyarrow string array [n] without nulls."""
    num_rows = len(event_ids)
    if num_rows == 0:
        return NO_KEYS
    _, offsets_buffer, data_buffer = event_ids.buffers()
    ends = np.frombuffer(offsets_buffer, dtype=np.int32)[event_ids.offset : event_ids.offset + num_rows + 1]
    lengths = np.diff(ends)
    if lengths.max() > LONG_BYTES:
        return _apart(event_ids, lengths > LONG_BYTES)
    data = np.frombuffer(data_buffer or b"", dtype=np.uint8)[ends[0] : ends[-1]]
    return _keys(data, lengths)


def _keys(data: npt.NDArray[np.uint8], lengths: npt.NDArray[np.int32]) -> Keys:
    """Of ids that stand one behind the other in `data`."""
    longest = int(lengths.max())
    held = np.zeros((len(lengths), -(-longest // WORD_BYTES) * WORD_BYTES), dtype=np.uint8)
    if is_uniform := bool((lengths == longest).all()):
        held[:, :longest] = data.reshape(-1, longest) if longest else 0
    else:
        held[np.arange(held.shape[1]) < lengths[:, None]] = data
    words = held.view("<u8")
    keys = lengths.astype(np.uint64) * GAMMA
    for column in range(words.shape[1]):
        mixed = (keys ^ words[:, column]) * FIRST
        mixed ^= mixed >> np.uint64(32)
        keys = mixed if is_uniform else np.where(lengths > column * WORD_BYTES, mixed, keys)
    return _finished(keys)


def _apart(event_ids: Any, is_long: npt.NDArray[np.bool_]) -> Keys:
    keys = np.empty(len(event_ids), dtype=np.uint64)
    keys[~is_long] = keys_of(event_ids.filter(pa.array(~is_long)))
    for row in np.flatnonzero(is_long).tolist():
        content = event_ids[row].as_py().encode()
        keys[row] = int.from_bytes(hashlib.blake2b(content, digest_size=WORD_BYTES).digest(), "little")
    return keys


def _finished(keys: Keys) -> Keys:
    """Every bit of the result depends on every bit."""
    keys ^= keys >> np.uint64(30)
    keys *= FIRST
    keys ^= keys >> np.uint64(27)
    keys *= SECOND
    keys ^= keys >> np.uint64(31)
    return keys
