"""Messages of the newest micro-batches, kept for as long as the learner may still refuse something in them.

It may refuse controls at any time, and events only of a class too many. So all messages of a batch are kept only once
that many classes can be there: what is known at the start, and whatever labels have come since.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from penstock.flow import Control, ImportRequest
from penstock.wire.columns import LABEL
from penstock.wire.message import Message

Place = tuple[int, int]
"""Partition and offset."""


@dataclass(frozen=True)
class _Batch:
    messages: dict[Place, Message]
    first_event: int
    num_events: int


class RetainedMessages:
    """Of the last `ahead + 1` batches.

    Args:
        ahead: number of micro-batches that may be taken before word comes on an earlier one.
        num_classes: how many the learner knows at the start.
        max_classes: how many it may know.
    """

    def __init__(self, *, ahead: int, num_classes: int, max_classes: int) -> None:
        self._batches = deque[_Batch](maxlen=ahead + 1)
        self._num_classes = num_classes
        self._max_classes = max_classes
        self._labels: set[str] = set()
        self._num_events = 0

    def add(self, messages: Sequence[Message], events: Any, controls: Sequence[Control], num_events: int) -> None:
        """A batch is about to be learnt; `num_events` are all that its messages hold, refused ones too."""
        imports = sum(isinstance(control.request, ImportRequest) for control in controls)
        self._num_classes += imports
        if not self.may_be_full:
            self._labels.update(events.column(LABEL).unique().to_pylist())
        if self.may_be_full:
            kept = {(message.partition(), message.offset()): message for message in messages}
        else:
            kept = _messages_of(controls, messages)
        self._batches.append(_Batch(kept, self._num_events, num_events))
        self._num_events += num_events

    def find(self, place: Place) -> tuple[Message, int, int]:
        """The message, and where its batch's events stand among all: the number of the first, and how many they are."""
        found = next(batch for batch in reversed(self._batches) if place in batch.messages)
        return found.messages[place], found.first_event, found.num_events

    @property
    def may_be_full(self) -> bool:
        """True if the learner may refuse events of the batch that was added last."""
        return self._num_classes + len(self._labels) > self._max_classes


def _messages_of(controls: Sequence[Control], messages: Sequence[Message]) -> dict[Place, Message]:
    """The messages of these controls."""
    if not controls:
        return {}
    places = {(control.partition, control.offset) for control in controls}
    found = (((message.partition(), message.offset()), message) for message in messages)
    return {place: message for place, message in found if place in places}
