"""A decoded micro-batch without the events that were there before.

An event is known by its `event_id`. A retraction has one of its own, which is never taken for that of an event; what it
retracts by id may come again, put right. A replayed dead letter was never learnt, so it is no repeat.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

import numpy as np
import pyarrow as pa

from penstock.flow import Control, RetractionRequest
from penstock.intake.repeats import Mask, Noted, Repeats
from penstock.telemetry import Telemetry
from penstock.wire.columns import OFFSET, PARTITION
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

    def without(self, messages: Sequence[Message], decoded: Decoded) -> tuple[Decoded, Keys]:
        """The batch with what is new alone, without the column `event_id`, and what is to be given back as `seen`."""
        events, noted = decoded.events, list[Noted]()
        keys, start, at, dropped = keys_of(events.column(EVENT_ID)), 0, 0, 0
        controls: list[Control] = []
        for control in decoded.controls:
            if control.at > start:
                noted.append(self._note(keys[start : control.at], start, events, messages))
                dropped += int(np.count_nonzero(~noted[-1].is_new))
                start = control.at
            at = control.at - dropped
            if isinstance(control.request, RetractionRequest):
                retraction = self._note_retraction(control.request)
                noted.append(replace(retraction, is_new=np.empty(0, dtype=np.bool_)))
                if not retraction.is_new[0]:
                    continue
                event = _without_ids(control.request.event)
                control = replace(control, request=replace(control.request, event=event))
            controls.append(replace(control, at=at))
        noted.append(self._note(keys[start:], start, events, messages))
        is_new: Mask = np.concatenate([each.is_new for each in noted])
        self._count(is_new, sum(each.num_again for each in noted), len(decoded.controls) - len(controls))
        kept = events if is_new.all() else events.filter(pa.array(is_new))
        return (
            replace(decoded, events=_without_ids(kept), controls=tuple(controls)),
            np.concatenate([each.entries for each in noted]),
        )

    def _note(self, keys: Keys, start: int, events: Any, messages: Sequence[Message]) -> Noted:
        return self._repeats.note(keys, is_exempt=lambda position: _is_replayed(events, start + position, messages))

    def _note_retraction(self, request: RetractionRequest) -> Noted:
        own = keys_of(request.event.column(EVENT_ID)) ^ RETRACTION
        target = keys_of(pa.array([request.of])) if isinstance(request.of, str) else NO_KEYS
        return self._repeats.note(own, forgotten=target)

    def _count(self, is_new: Mask, num_again: int, num_retractions: int) -> None:
        passed_over = int(np.count_nonzero(~is_new)) + num_retractions
        for outcome, num_events in (("passed_over", passed_over), ("learnt_again", num_again)):
            if num_events:
                self._telemetry.count("penstock_events_repeated_total", num_events, outcome=outcome)


def _is_replayed(events: Any, row: int, messages: Sequence[Message]) -> bool:
    place = events.column(PARTITION)[row].as_py(), events.column(OFFSET)[row].as_py()
    message = next(each for each in messages if (each.partition(), each.offset()) == place)
    return any(name == REPLAYED_FROM for name, _ in message.headers() or ())


def _without_ids(events: Any) -> Any:
    return events.select([name for name in events.schema.names if name != EVENT_ID])
