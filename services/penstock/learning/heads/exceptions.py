"""Inputs whose labels contradicted the model, kept word for word, so that a correction holds for that very input.

The key is the row as encoded, before anything that moves with the stream. Where inputs keep coming back (few distinct
ones, as with categories alone), contradictions are the noise of the labels, and no exceptions are made.
"""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from penstock.flow import Array
from penstock.learning.heads.exception_steps import CONTESTED, Entry, ExceptionSteps, Step, after, names_of, stands_for

Int64s = npt.NDArray[np.int64]
UInt64s = npt.NDArray[np.uint64]

MOST = 2048
NUM_RECENT = 1024
NO_CLASS = -1
NOT_KNOWN = 0
"""As a priority."""
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


class Recent(NamedTuple):
    """The newest event with an input: its label, the label of the one before, if that is recent too, and its priority.

    The priority is `NOT_KNOWN` once the event after it was undone.
    """

    label: int
    before: int
    priority: int


class Exceptions:
    """Labels by key, the oldest making room."""

    def __init__(self) -> None:
        self._labels: dict[bytes, Entry] = {}
        self._steps = ExceptionSteps()
        self._recent: dict[bytes, Recent] = {}
        self._repeats = 0.0

    def __len__(self) -> int:
        return len(self._labels)

    def look_up(self, keys: UInt64s) -> Int64s:
        """Class [n] of each key [n, 2]; −1 without an exception."""
        if not self._labels:
            return np.full(len(keys), CONTESTED, dtype=np.int64)
        none = (CONTESTED, 0)
        return np.array([self._labels.get(key, none)[0] for key in names_of(keys)], dtype=np.int64)

    def learn(self, keys: UInt64s, classes: Int64s, is_wrong: npt.NDArray[np.bool_], priorities: UInt64s) -> None:
        """Rows in order, with whether the model had them wrong, and their priorities."""
        labels, recent, repeats = self._labels, self._recent, self._repeats
        rows = zip(names_of(keys), classes.tolist(), is_wrong.tolist(), priorities.tolist(), strict=True)
        for key, label, wrong, priority in rows:
            last = recent.pop(key, None)
            repeats = repeats * _FADING + (0.0 if last is None else 1 - _FADING)
            before = NO_CLASS if last is None else last.label
            recent[key] = Recent(label, before, priority)
            known = labels.get(key)
            if known is not None:
                labels[key] = after(known, label)
            elif (wrong or before not in (NO_CLASS, label)) and repeats < _MOST_REPEATS:
                labels[key] = (label, 0)
            else:
                continue
            self._steps.add(key, Step(priority, label, known))
        self._repeats = repeats
        while len(recent) > NUM_RECENT:
            del recent[next(iter(recent))]
        while len(labels) > MOST:
            self._end(next(iter(labels)))

    def drop(self, labels: Sequence[int]) -> None:
        """Forget the exceptions that name these classes."""
        for key in [key for key, entry in self._labels.items() if entry[0] in labels]:
            self._end(key)
        self._steps.drop_classes(labels)

    def forget(self, keys: UInt64s, classes: Int64s, priority: int | None) -> bool:
        """Forget that these rows, keys [n, 2], were ever given these labels [n], by the event of this priority if any.

        True if what is left is as if they had not been.
        """
        rows = zip(names_of(keys), classes.tolist(), strict=True)
        are_known = [self._forget(key, label, priority) for key, label in rows]
        return all(are_known)

    def _forget(self, key: bytes, label: int, priority: int | None) -> bool:
        entry = self._labels.get(key)
        left, is_known = (None, True) if entry is None else self._steps.undo(key, label, priority, entry)
        if left is not None:
            self._labels[key] = left
        elif entry is not None:
            self._end(key)
        self._forget_recent(key, label, priority)
        return is_known

    def _forget_recent(self, key: bytes, label: int, priority: int | None) -> None:
        last = self._recent.get(key)
        if last is None:
            return
        if not stands_for(last.priority, last.label, priority, label):
            if last.before == label:
                self._recent[key] = last._replace(before=NO_CLASS)
        elif last.before == NO_CLASS:
            del self._recent[key]
        else:
            self._recent[key] = Recent(last.before, NO_CLASS, NOT_KNOWN)

    def _end(self, key: bytes) -> None:
        del self._labels[key]
        self._steps.drop(key)

    def table(self) -> tuple[UInt64s, Int64s]:
        """Keys [k, 2] and classes [k] of the exceptions in force."""
        entries = [(key, label) for key, (label, _) in self._labels.items() if label != CONTESTED]
        keys = np.frombuffer(b"".join(key for key, _ in entries), dtype=np.uint64).reshape(-1, 2)
        return keys, np.array([label for _, label in entries], dtype=np.int64)

    @classmethod
    def of(cls, keys: UInt64s, classes: Int64s) -> "Exceptions":
        """That answer as the one whose `table()` it was."""
        exceptions = cls()
        exceptions._labels = {key: (label, 0) for key, label in zip(names_of(keys), classes.tolist(), strict=True)}
        return exceptions

    def state(self) -> dict[str, Array]:
        """Copies."""
        recent = list(self._recent.values())
        return {
            "keys": np.frombuffer(b"".join(self._labels), dtype=np.uint64).reshape(-1, 2),
            "labels": np.array(list(self._labels.values()), dtype=np.int64).reshape(-1, 2),
            "recent_keys": np.frombuffer(b"".join(self._recent), dtype=np.uint64).reshape(-1, 2),
            "recent": np.array([(each.label, each.before) for each in recent], dtype=np.int64).reshape(-1, 2),
            "recent_priorities": np.array([each.priority for each in recent], dtype=np.uint64),
            "repeats": np.array([self._repeats]),
        } | self._steps.state()

    def load(self, arrays: Mapping[str, Array]) -> None:
        """Take up the values of `state()`."""
        labels = [(int(label), int(changes)) for label, changes in arrays["labels"].tolist()]
        self._labels = dict(zip(names_of(arrays["keys"].astype(np.uint64)), labels, strict=True))
        recent, priorities = arrays["recent"].astype(np.int64).tolist(), arrays["recent_priorities"].astype(np.uint64)
        rows = zip(recent, priorities.tolist(), strict=True)
        known = [Recent(label, before, priority) for (label, before), priority in rows]
        self._recent = dict(zip(names_of(arrays["recent_keys"].astype(np.uint64)), known, strict=True))
        self._repeats = float(arrays["repeats"].astype(np.float64)[0])
        self._steps.load(arrays)


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
