"""A decoded micro-batch without the events that were there before.

An event is known by its `event_id`. A retraction has one of its own, which is never taken for that of an event; what it
retracts by id may come again, put right. A replayed dead letter was never learnt, so it is no repeat; nor is what comes
under an id that the learner has refused. A batch that names an id whose fate is open yet waits for word, so that what
is learnt does not depend on how far ahead of the learner it was read.
"""

from collections import deque
from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from typing import Any, Final

import numpy as np
import pyarrow as pa

from penstock.flow import Control, RetractionRequest
from penstock.intake.repeats import Mask, Noted, Repeats
from penstock.intake.tentative import Place, Tentative
from penstock.telemetry import Telemetry
from penstock.wire.columns import OFFSET, PARTITION, ROW
from penstock.wire.decoder import Decoded
from penstock.wire.event_columns import EVENT_ID
from penstock.wire.event_keys import NO_KEYS, Keys, keys_of
from penstock.wire.message import Message
from penstock.wire.replay import REPLAYED_FROM

RETRACTION: Final = np.uint64(0x5555_5555_5555_5555)
"""Keeps the ids of retractions apart from those of events."""


class RepeatedEvents:
    """Passes over events that come again.

    Args:
        window_events: how far back they are found.
        seen: `EventBatch.seen` of the batches learnt so far, the newest at least.
        telemetry: for counts.
    """

    def __init__(self, window_events: int, seen: Keys, telemetry: Telemetry) -> None:
        self._repeats = Repeats(window_events, seen)
        self._telemetry = telemetry
        self._open = deque[Tentative]()

    def must_wait(self, decoded: Decoded) -> bool:
        """True if this batch names an id of one that is still open."""
        if not self._open:
            return False
        named = [keys_of(decoded.events.column(EVENT_ID))]
        for request in _retractions(decoded):
            named += [_own(request), _target(request)]
        keys = Repeats.listed(np.concatenate(named))
        return any(batch.names(keys) for batch in self._open)

    def without(
        self, messages: Sequence[Message], decoded: Decoded, *, may_refuse_events: bool = False
    ) -> tuple[Decoded, Keys, bool]:
        """The batch with what is new alone, without the column `event_id`, and what is to be given back as `seen`.

        And whether it is open, until `judged` is called: if it has retractions, or the learner may refuse its events.
        """
        is_open = may_refuse_events or any(_retractions(decoded))
        tentative = Tentative() if is_open else None
        events, noted = decoded.events, list[Noted]()
        keys, start, at, dropped = keys_of(events.column(EVENT_ID)), 0, 0, 0
        controls: list[Control] = []
        for control in decoded.controls:
            if control.at > start:
                noted.append(self._note(keys[start : control.at], start, events, messages, tentative))
                dropped += int(np.count_nonzero(~noted[-1].is_new))
                start = control.at
            at = control.at - dropped
            if isinstance(control.request, RetractionRequest):
                retraction = self._note_retraction(control, control.request, messages, tentative)
                noted.append(replace(retraction, is_new=np.empty(0, dtype=np.bool_)))
                if not retraction.is_new[0]:
                    continue
                event = _without_ids(control.request.event)
                control = replace(control, request=replace(control.request, event=event))
            controls.append(replace(control, at=at))
        noted.append(self._note(keys[start:], start, events, messages, tentative))
        if tentative is not None:
            self._open.append(tentative)
        is_new: Mask = np.concatenate([each.is_new for each in noted])
        self._count(is_new, sum(each.num_again for each in noted), len(decoded.controls) - len(controls))
        kept = events if is_new.all() else events.filter(pa.array(is_new))
        return (
            replace(decoded, events=_without_ids(kept), controls=tuple(controls)),
            np.concatenate([each.entries for each in noted]),
            is_open,
        )

    def take_back(self, refused: Collection[Place]) -> None:
        """The learner has refused what stands at these places of one batch, which is open."""
        for batch in self._open:
            for key, seen_at in batch.without(refused).items():
                self._repeats.put(key, seen_at)

    def judged(self) -> None:
        """All that is refused of the oldest open batch has been taken back."""
        self._open.popleft()

    def _note(
        self, keys: Keys, start: int, events: Any, messages: Sequence[Message], tentative: Tentative | None
    ) -> Noted:
        listed, first = self._begin(keys, tentative)
        noted = self._repeats.note(keys, is_exempt=lambda row: _is_marked(_place(events, start + row), messages))
        if tentative is not None:
            numbers = enumerate(np.flatnonzero(noted.is_new).tolist(), first)
            places = _places(events.slice(start, len(keys)))
            tentative.add((places[row], listed[row], number) for number, row in numbers)
        return noted

    def _note_retraction(
        self, control: Control, request: RetractionRequest, messages: Sequence[Message], tentative: Tentative | None
    ) -> Noted:
        """One that is a repeat forgets nothing: what it names may have come again since, put right."""
        own, target = _own(request), _target(request)
        place = control.partition, control.offset, control.row
        listed, first = self._begin(np.concatenate((own, target)), tentative)
        noted = self._repeats.note(own, is_exempt=lambda _: _is_marked(place, messages), forgotten=target)
        if tentative is not None and noted.is_new[0]:
            tentative.add((place, key, None if position else first) for position, key in enumerate(listed))
        return noted

    def _begin(self, keys: Keys, tentative: Tentative | None) -> tuple[list[int], int]:
        """The keys as they are remembered, and the number of the next event."""
        if tentative is None:
            return [], self._repeats.count
        listed = Repeats.listed(keys)
        for key in listed:
            tentative.touch(key, self._repeats.seen_at(key))
        return listed, self._repeats.count

    def _count(self, is_new: Mask, num_again: int, num_retractions: int) -> None:
        passed_over = int(np.count_nonzero(~is_new)) + num_retractions
        for outcome, num_events in (("passed_over", passed_over), ("learnt_again", num_again)):
            if num_events:
                self._telemetry.count("penstock_events_repeated_total", num_events, outcome=outcome)


def _retractions(decoded: Decoded) -> Iterator[RetractionRequest]:
    for control in decoded.controls:
        if isinstance(control.request, RetractionRequest):
            yield control.request


def _own(request: RetractionRequest) -> Keys:
    own: Keys = keys_of(request.event.column(EVENT_ID)) ^ RETRACTION
    return own


def _target(request: RetractionRequest) -> Keys:
    return keys_of(pa.array([request.of])) if isinstance(request.of, str) else NO_KEYS


def _place(events: Any, row: int) -> Place:
    return _places(events.slice(row, 1))[0]


def _places(events: Any) -> list[Place]:
    return list(zip(*(events.column(name).to_pylist() for name in (PARTITION, OFFSET, ROW)), strict=True))


def _is_marked(place: Place, messages: Sequence[Message]) -> bool:
    """True if what stands there is a dead letter that was replayed."""
    message = next(each for each in messages if (each.partition(), each.offset()) == place[:2])
    return any(name == REPLAYED_FROM for name, _ in message.headers() or ())


def _without_ids(events: Any) -> Any:
    return events.select([name for name in events.schema.names if name != EVENT_ID])
