"""How each exception came to be, event by event, so that one event can be undone as if it had never come."""

from collections.abc import Collection, Mapping
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from penstock.flow import Array

UInt64s = npt.NDArray[np.uint64]
Entry = tuple[int, int]
"""Class of an exception, and how often it has changed."""

CONTESTED: Final = -1
MOST_CHANGES: Final = 2
MOST_STEPS: Final = 4
"""Of one exception. An input that is labelled more often is seldom corrected by what came so long before."""
_NO_ENTRY: Final = (-2, 0)


class Step(NamedTuple):
    """One event with the input of an exception: its priority, its label, and the exception that it found, if any."""

    priority: int
    label: int
    before: Entry | None


def stands_for(priority: int, label: int, sought: int | None, its_label: int) -> bool:
    """True if the event is the one sought; where no priority is known any of the label is."""
    return label == its_label and sought in (None, priority)


def after(entry: Entry, label: int) -> Entry:
    """What becomes of an exception with a further event."""
    if entry[0] in (label, CONTESTED):
        return entry
    changes = entry[1] + 1
    return (label if changes < MOST_CHANGES else CONTESTED, changes)


class ExceptionSteps:
    """The newest steps by key, of keys that have an exception."""

    def __init__(self) -> None:
        self._steps: dict[bytes, tuple[Step, ...]] = {}

    def add(self, key: bytes, step: Step) -> None:
        """The next event with this input."""
        self._steps[key] = (*self._steps.get(key, ()), step)[-MOST_STEPS:]

    def drop(self, key: bytes) -> None:
        """Its exception is gone."""
        self._steps.pop(key, None)

    def drop_classes(self, labels: Collection[int]) -> None:
        """No exception names one of these any more, nor shall one again that comes back."""
        for key, steps in self._steps.items():
            self._steps[key] = tuple(
                step._replace(before=None) if step.before is not None and step.before[0] in labels else step
                for step in steps
            )

    def undo(self, key: bytes, label: int, priority: int | None, entry: Entry) -> tuple[Entry | None, bool]:
        """The exception `entry` without the newest event of the label and, if it is known, the priority.

        And whether that is known: what comes after an exception is, but not whether a later event would have made one
        had none been there; that it would is the better guess. Nor is it where other labels stand between events of
        which it may be any. Of what no step tells nothing is undone.
        """
        steps = self._steps.get(key, ())
        found = [place for place, step in enumerate(steps) if stands_for(step.priority, step.label, priority, label)]
        if not found:
            return entry, False
        undone, is_known = steps[found[-1]].before, len(found) == 1 + found[-1] - found[0]
        left = list(steps[: found[-1]])
        for step in steps[found[-1] + 1 :]:
            left.append(step._replace(before=undone))
            is_known = is_known and undone is not None
            undone = (step.label, 0) if undone is None else after(undone, step.label)
        self._steps[key] = tuple(left)
        return undone, is_known

    def state(self) -> dict[str, Array]:
        """Copies, a row for each step."""
        rows = [(key, step) for key, steps in self._steps.items() for step in steps]
        values = [(step.label, *(step.before or _NO_ENTRY)) for _, step in rows]
        return {
            "step_keys": np.frombuffer(b"".join(key for key, _ in rows), dtype=np.uint64).reshape(-1, 2),
            "step_priorities": np.array([step.priority for _, step in rows], dtype=np.uint64),
            "steps": np.array(values, dtype=np.int64).reshape(-1, 3),
        }

    def load(self, arrays: Mapping[str, Array]) -> None:
        """Take up the values of `state()`."""
        self._steps = {}
        keys, priorities = arrays["step_keys"].astype(np.uint64), arrays["step_priorities"].astype(np.uint64)
        values = arrays["steps"].astype(np.int64).tolist()
        for key, priority, (label, *before) in zip(names_of(keys), priorities.tolist(), values, strict=True):
            entry = (before[0], before[1])
            self.add(key, Step(priority, label, None if entry == _NO_ENTRY else entry))


def names_of(keys: UInt64s) -> list[bytes]:
    """Of keys [n, 2] as they are looked up."""
    content = np.ascontiguousarray(keys).tobytes()
    return [content[start : start + 16] for start in range(0, len(content), 16)]
