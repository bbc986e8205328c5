"""Inputs whose labels contradicted the model, kept word for word, so that a correction holds for that very input.

The key is the row as encoded, before anything that moves with the stream. Where inputs keep coming back (few distinct
ones, as with categories alone), contradictions are the noise of the labels, and no exceptions are made.
"""

from collections.abc import Mapping, Sequence
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from penstock.flow import Array

Int64s = npt.NDArray[np.int64]
UInt64s = npt.NDArray[np.uint64]

MOST = 2048
NUM_RECENT = 1024
CONTESTED = -1
MOST_CHANGES = 2
_MOST_REPEATS = 0.05
_FADING = 0.98
_CERTAINTY = 0.9
_EXPONENT = np.uint32(0x7F80_0000)
"""Without one a number is 0, −0, or so small that a learner takes it for 0: one input, so one key."""


class RowKeys:
    """128-bit keys of rows: two sums of the words of a row, each times a random odd number (mod 2^64)."""

    def __init__(self, num_words: int) -> None:
        self._factors, self._start = _factors(num_words)

    def __call__(self, dense: npt.NDArray[np.float32], tokens: npt.NDArray[np.int32]) -> UInt64s:
        """[n, 2]."""
        bits = dense.view(np.uint32)
        bits = np.where(bits & _EXPONENT, bits, np.uint32(0))
        words = (np.concatenate((bits, tokens.view(np.uint32)), axis=1) if tokens.shape[1] else bits).astype(np.uint64)
        keys: UInt64s = words @ self._factors
        keys += self._start  # each word counts as one more than it is, so that a zero is not nothing
        keys ^= keys >> np.uint64(29)
        keys *= np.uint64(0xBF58476D1CE4E5B9)
        keys ^= keys >> np.uint64(32)
        return keys


@lru_cache(maxsize=4)  # the versions that a replica takes up share them
def _factors(num_words: int) -> tuple[UInt64s, UInt64s]:
    """Odd numbers [num_words, 2], and what the sums [2] begin with; not to be written to."""
    generator = np.random.Generator(np.random.PCG64(num_words))
    factors: UInt64s = generator.integers(0, 2**64, (2, num_words + 1), dtype=np.uint64) | np.uint64(1)
    return np.ascontiguousarray(factors[:, 1:].T), factors[:, 0] + factors[:, 1:].sum(axis=1, dtype=np.uint64)


class Exceptions:
    """Labels by key, the oldest making room."""

    def __init__(self) -> None:
        self._labels: dict[bytes, tuple[int, int]] = {}
        self._recent: dict[bytes, int] = {}
        self._repeats = 0.0

    def __len__(self) -> int:
        return len(self._labels)

    def look_up(self, keys: UInt64s) -> Int64s:
        """Class [n] of each key [n, 2]; −1 without an exception."""
        if not self._labels:
            return np.full(len(keys), CONTESTED, dtype=np.int64)
        none = (CONTESTED, 0)
        return np.array([self._labels.get(key, none)[0] for key in _names(keys)], dtype=np.int64)

    def learn(self, keys: UInt64s, classes: Int64s, is_wrong: npt.NDArray[np.bool_]) -> None:
        """Rows in order, with whether the model had them wrong."""
        labels, recent, repeats = self._labels, self._recent, self._repeats
        for key, label, wrong in zip(_names(keys), classes.tolist(), is_wrong.tolist(), strict=True):
            before = recent.pop(key, None)
            repeats = repeats * _FADING + (0.0 if before is None else 1 - _FADING)
            recent[key] = label
            known = labels.get(key)
            if known is not None:
                if known[0] not in (label, CONTESTED):
                    changes = known[1] + 1
                    labels[key] = (label if changes < MOST_CHANGES else CONTESTED, changes)
            elif (wrong or before not in (None, label)) and repeats < _MOST_REPEATS:
                labels[key] = (label, 0)
        self._repeats = repeats
        while len(recent) > NUM_RECENT:
            del recent[next(iter(recent))]
        while len(labels) > MOST:
            del labels[next(iter(labels))]

    def drop(self, labels: Sequence[int]) -> None:
        """Forget the exceptions that name these classes."""
        self._labels = {key: entry for key, entry in self._labels.items() if entry[0] not in labels}

    def forget(self, keys: UInt64s, classes: Int64s) -> None:
        """Forget that these rows, keys [n, 2], were ever given these labels [n]."""
        for key, label in zip(_names(keys), classes.tolist(), strict=True):
            if self._labels.get(key, (CONTESTED, 0))[0] == label:
                del self._labels[key]
            if self._recent.get(key) == label:
                del self._recent[key]

    def table(self) -> tuple[UInt64s, Int64s]:
        """Keys [k, 2] and classes [k] of the exceptions in force."""
        entries = [(key, label) for key, (label, _) in self._labels.items() if label != CONTESTED]
        keys = np.frombuffer(b"".join(key for key, _ in entries), dtype=np.uint64).reshape(-1, 2)
        return keys, np.array([label for _, label in entries], dtype=np.int64)

    @classmethod
    def of(cls, keys: UInt64s, classes: Int64s) -> "Exceptions":
        """That answer as the one whose `table()` it was."""
        exceptions = cls()
        exceptions._labels = {key: (label, 0) for key, label in zip(_names(keys), classes.tolist(), strict=True)}
        return exceptions

    def state(self) -> dict[str, Array]:
        """Copies."""
        return {
            "keys": np.frombuffer(b"".join(self._labels), dtype=np.uint64).reshape(-1, 2),
            "labels": np.array(list(self._labels.values()), dtype=np.int64).reshape(-1, 2),
            "recent_keys": np.frombuffer(b"".join(self._recent), dtype=np.uint64).reshape(-1, 2),
            "recent": np.array(list(self._recent.values()), dtype=np.int64),
            "repeats": np.array([self._repeats]),
        }

    def load(self, arrays: Mapping[str, Array]) -> None:
        """Take up the values of `state()`."""
        labels = [(int(label), int(changes)) for label, changes in arrays["labels"].tolist()]
        self._labels = dict(zip(_names(arrays["keys"].astype(np.uint64)), labels, strict=True))
        recent = arrays["recent"].astype(np.int64).tolist()
        self._recent = dict(zip(_names(arrays["recent_keys"].astype(np.uint64)), recent, strict=True))
        self._repeats = float(arrays["repeats"].astype(np.float64)[0])


def overruled(
    probabilities: npt.NDArray[np.float64], exceptions: Int64s, live: npt.NDArray[np.bool_] | None = None
) -> npt.NDArray[np.float64]:
    """The probabilities [n, C] with those of rows that have an exception moved nine tenths of the way to it.

    Exceptions that name a class which is not `live` [C] do not count.
    """
    rows = np.flatnonzero((exceptions >= 0) if live is None else (exceptions >= 0) & live[exceptions])
    if len(rows):
        probabilities[rows] *= 1 - _CERTAINTY
        probabilities[rows, exceptions[rows]] += _CERTAINTY
    return probabilities


def _names(keys: UInt64s) -> list[bytes]:
    content = np.ascontiguousarray(keys).tobytes()
    return [content[start : start + 16] for start in range(0, len(content), 16)]
