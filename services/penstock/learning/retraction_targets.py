"""Which event a retraction means, and by what other name that one is known."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from penstock.errors import InvalidEventError
from penstock.flow import EventPlace
from penstock.learning.parts import LearnerParts
from penstock.learning.seen_events import FORGET, At, SeenEvents
from penstock.replay.priority import EventPriorities
from penstock.wire.event_keys import keys_of


@dataclass(frozen=True, kw_only=True)
class Target:
    """The event to undo: its place with its priority, the key of its id, or all of them; `name` as it was named.

    Where it `is_seen` it is among the newest ids.
    """

    name: str
    at: At | None = None
    priority: int | None = None
    key: int | None = None
    is_seen: bool = False

    def names(self, found: int | None) -> tuple[int, ...]:
        """All that are known, hashed, with the priority of what was `found` for it."""
        priority = found if self.priority is None else self.priority
        return tuple(each for each in (priority, self.key) if each is not None)


class Targets:
    """What is known of the names that retractions give. Works on what it does not own."""

    def __init__(self, parts: LearnerParts, priorities: EventPriorities, seen: SeenEvents, topic: str) -> None:
        self._parts, self._priorities, self._seen, self._topic = parts, priorities, seen, topic

    def named(self, of: EventPlace | str) -> Target:
        """The event of this name.

        Raises:
            InvalidEventError: none has been learnt, or it was retracted before.
        """
        target = self._by_id(of) if isinstance(of, str) else self._by_place(of)
        if (target.key if target.priority is None else target.priority) in self._parts.retracted:
            raise refused(f"The event {target.name} was retracted before.")
        return target

    def _by_id(self, event_id: str) -> Target:
        key, name = int(keys_of(pa.array([event_id], pa.string()))[0] & ~FORGET), repr(event_id)
        seen = list(self._seen.places_of(key))
        come = [at for at in seen if at is None or self._parts.history.has_come(*at)]
        if seen and not come:
            raise refused(f"The event {name} has not come yet, so there is nothing to retract.")
        if not seen and self._seen.is_whole:
            raise refused(f"The event {name} was never learnt: every event_id that was is known still.")
        at = come[0] if come else None
        return Target(name=name, at=at, priority=self._priority(at), key=key, is_seen=bool(come))

    def _by_place(self, of: EventPlace) -> Target:
        if of.topic != self._topic:
            raise refused(f"retracts.topic is {of.topic!r}; the events of this model are those of {self._topic!r}.")
        at = At(of.partition, of.offset, of.row)
        name = f"{of.partition}:{of.offset}" + (f" (row {of.row})" if of.row else "")
        if not self._parts.history.has_come(*at):
            raise refused(f"The event {name} has not come yet, so there is nothing to retract.")
        key = self._seen.key_at(at)
        if key is None and self._seen.reaches(at):
            raise refused(f"No event was learnt at {name}: what stands there was refused, a repeat, or no event.")
        return Target(name=name, at=at, priority=self._priority(at), key=key, is_seen=key is not None)

    def _priority(self, at: At | None) -> int | None:
        if at is None:
            return None
        partitions, rows = np.array([at.partition], dtype=np.int32), np.array([at.row], dtype=np.int32)
        return int(self._priorities.at(partitions, np.array([at.offset], dtype=np.int64), rows)[0])


def refused(sentence: str) -> InvalidEventError:
    """Why there is nothing to undo."""
    return InvalidEventError("retracts", sentence)
