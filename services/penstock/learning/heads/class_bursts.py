"""Bursts of errors on one class: where few of many classes mean something else now, errors of all hardly rise.

A class's newest rows are held against the faded rate of errors on it before them, by the chance that as many errors
come together at that rate (Chernoff's bound, e^(−n KL)).
"""

import math
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from penstock.flow import Array

Int64s = npt.NDArray[np.int64]

WINDOWS = (8, 16, 32)
"""Newest rows of a class that are looked at."""
FADING = 0.99
LEAST_RATE = 0.1
SURPRISE = 15.0
"""−ln of the chance, in nats."""
MOST_CLASSES = 1000
"""With more, this watch steps aside as the instance head does."""
CLASS_BETTER_BY = 0.3
BLAMED = 1 / 3
"""Share of a class's errors that one other class must have been answered in, to have to do with it."""
MOST_GOOD = 0.5
"""Share of a class's errors by good answers from which on labels are wrong: a class of another meaning takes rows from
others, which are then answered wrongly with their names."""


@dataclass(frozen=True, kw_only=True)
class ClassBurst:
    """Of the newest rows of `label` the share `recall` was right; most others were answered as one of `blamed`."""

    label: int
    recall: float
    blamed: tuple[int, ...]
    began: int
    """The event of the first error among them."""
    of_good_answers: float
    """Share of the errors whose answer was given more often to rows that it was right for, since then."""


class ClassBursts:
    """The newest rows of each class, as pairs of answer and event, and the rate of errors before them."""

    def __init__(self) -> None:
        self._newest: dict[int, deque[tuple[int, int]]] = {}
        self._rates: dict[int, tuple[float, float]] = {}

    def saw(self, classes: Int64s, predicted: Int64s, events: Int64s) -> list[int]:
        """Scored rows of established classes [n]; the classes on which errors have burst with one of them."""
        burst: list[int] = []
        for label, said, event in zip(classes.tolist(), predicted.tolist(), events.tolist(), strict=True):
            newest = self._newest.get(label)
            if newest is None:
                newest = self._newest[label] = deque(maxlen=WINDOWS[-1])
            if len(newest) == WINDOWS[-1]:
                errors, rows = self._rates.get(label, (0.0, 0.0))
                self._rates[label] = errors * FADING + (newest[0][0] != label), rows * FADING + 1
            newest.append((said, event))
            if said != label and label not in burst and self._size(label):
                burst.append(label)
        return burst

    def of(self, label: int) -> ClassBurst:
        """The burst on a class of which `saw` has just told."""
        rows = list(self._newest[label])[-self._size(label) :]
        wrong = [said for said, _ in rows if said != label]
        began = next(event for said, event in rows if said != label)
        return ClassBurst(
            label=label,
            recall=1 - len(wrong) / len(rows),
            blamed=tuple(said for said in sorted(set(wrong)) if said >= 0 and wrong.count(said) >= BLAMED * len(wrong)),
            began=began,
            of_good_answers=sum(self._was_right(said, wrong.count(said), began) for said in wrong) / len(wrong),
        )

    def _was_right(self, said: int, errors: int, began: int) -> bool:
        """Or is of a class that is not established yet."""
        newest = self._newest.get(said, ())
        return said >= 0 and (not newest or sum(right == said for right, event in newest if event >= began) > errors)

    def forget(self, labels: Iterable[int]) -> None:
        """Begin anew with these classes."""
        for label in labels:
            self._newest.pop(label, None)
            self._rates.pop(label, None)

    def _size(self, label: int) -> int:
        """Rows of the longest window with a burst; 0 where there is none."""
        errors, rows = self._rates.get(label, (0.0, 0.0))
        if rows < WINDOWS[0]:
            return 0
        rate = max((errors + 1) / (rows + 2), LEAST_RATE)
        wrong = [said != label for said, _ in reversed(self._newest[label])]
        for size in reversed(WINDOWS):
            share = sum(wrong[:size]) / size
            if share > rate and size * _divergence(share, rate) > SURPRISE:
                return size
        return 0

    def state(self) -> dict[str, Array]:
        """Copies."""
        rates = [(label, *rate) for label, rate in self._rates.items()]
        newest = [(label, said, event) for label, rows in self._newest.items() for said, event in rows]
        return {
            "newest": np.array(newest, dtype=np.int64).reshape(-1, 3),
            "rates": np.array(rates, dtype=np.float64).reshape(-1, 3),
        }

    def load(self, arrays: Mapping[str, Array]) -> None:
        """Take up the values of `state()`; begin anew where a version has written none."""
        self._newest, self._rates = {}, {}
        if not arrays:
            return
        for label, said, event in arrays["newest"].astype(np.int64).tolist():
            self._newest.setdefault(label, deque(maxlen=WINDOWS[-1])).append((said, event))
        for label, errors, rows in arrays["rates"].astype(np.float64).tolist():
            self._rates[int(label)] = errors, rows


def _divergence(share: float, rate: float) -> float:
    """KL of two coins, in nats."""
    right = (1 - share) * math.log((1 - share) / (1 - rate)) if share < 1 else 0.0
    return share * math.log(share / rate) + right
