"""From the label topic to closed micro-batches of valid events: poll, close, decode, dead-letter."""

import sys
from collections import Counter, defaultdict, deque
from collections.abc import Sequence

import structlog

from penstock.clock import Clock
from penstock.flow import EventBatch, Offsets
from penstock.intake.batching import ClosedBatch
from penstock.intake.config import IntakeConfig
from penstock.intake.late_labels import LateLabels
from penstock.intake.ports import DeadLetterSink, MessageSource
from penstock.intake.quarantine import Quarantine
from penstock.intake.reading import Reading
from penstock.intake.refusal import Refusal
from penstock.intake.repeated_events import RepeatedEvents
from penstock.intake.retained import RetainedMessages
from penstock.telemetry import Telemetry
from penstock.wire.dead_letter import dead_letter
from penstock.wire.decoder import Decoded, EventDecoder, holds_many
from penstock.wire.event_keys import NO_KEYS
from penstock.wire.late_labels import FoundPredictions

SWITCHED_OFF = FoundPredictions(
    otherwise="names a logged prediction, but serving.prediction_log.enabled is false: there is no log to look in"
)

log = structlog.get_logger(__name__)


class Intake:
    """Makes micro-batches. Used by one thread.

    Args:
        source: the label topic, at the offsets to go on from.
        dead_letters: where refused messages go.
        decoder: for the model's feature schema.
        config: the `[intake]` section.
        clock: for ages.
        telemetry: for batches and refused events.
        step: number of micro-batches learnt so far, with which a fixed rotation goes on.
        offsets: those that the source begins with, of every partition.
        ahead: number of micro-batches that may be taken before word comes on what was refused of an earlier one.
        late_labels: finds the predictions that labels name; without it such labels are refused.
        repeated: passes over repeated events; without it they are learnt. The decoder must then keep event ids.
        num_classes: how many the learner knows.
        max_classes: beyond so many it refuses events.
    """

    def __init__(
        self,
        source: MessageSource,
        dead_letters: DeadLetterSink,
        decoder: EventDecoder,
        config: IntakeConfig,
        clock: Clock,
        telemetry: Telemetry,
        step: int = 0,
        offsets: Offsets | None = None,
        ahead: int = 0,
        late_labels: LateLabels | None = None,
        repeated: RepeatedEvents | None = None,
        num_classes: int = 0,
        max_classes: int = sys.maxsize,
    ) -> None:
        self._reading = Reading(source, config, clock, decoder.count_events, step=step, offsets=offsets or Offsets())
        self._dead_letters = dead_letters
        self._decoder = decoder
        self._clock = clock
        self._telemetry = telemetry
        self._quarantine = Quarantine(config)
        self._late_labels = late_labels
        self._decoded = deque[tuple[ClosedBatch, Decoded]]()
        self._is_plain = False
        self._joining: tuple[ClosedBatch, Decoded] | None = None
        self._waiting: tuple[ClosedBatch, Decoded] | None = None
        self._open = deque[int]()
        self._ahead = ahead
        self._num_batches = 0
        self._repeated = repeated
        self._retained = RetainedMessages(ahead=ahead, num_classes=num_classes, max_classes=max_classes)

    @property
    def is_waiting(self) -> bool:
        """True while the next micro-batch is held until `judged` is called."""
        return self._waiting is not None

    def next_batch(self, timeout_seconds: float) -> EventBatch | None:
        """The next micro-batch, or None if it has not closed by the timeout, or `is_waiting`; it is then yet to come.

        Raises:
            PoisonedStreamError: too many events are invalid.
            RetentionError: the source's.
        """
        next_ = self._next_decided(timeout_seconds)
        if next_ is None:
            return None
        closed, decoded = next_
        self._set_aside(closed, decoded)
        self._retained.add(closed.messages, decoded.events, decoded.controls, len(decoded.accepted))
        seen, awaits_word = NO_KEYS, False
        if self._repeated is not None:
            decoded, seen, awaits_word = self._repeated.without(
                closed.messages, decoded, may_refuse_events=self._retained.may_be_full
            )
        if awaits_word:
            self._open.append(self._num_batches)
        self._num_batches += 1
        self._telemetry.observe("penstock_batch_events", decoded.events.num_rows)
        self._telemetry.observe("penstock_batch_age_seconds", closed.age_seconds)
        offsets = _next_offsets(closed)
        self._reading.handed_out(offsets)
        return EventBatch(
            events=decoded.events,
            offsets=offsets,
            closed_by=closed.closed_by,
            age_seconds=closed.age_seconds,
            controls=decoded.controls,
            read_until_ms=self._late_labels.horizon_ms if self._late_labels else 0,
            judged=decoded.judged,
            seen=seen,
            awaits_word=awaits_word,
        )

    def saved(self, offsets: Offsets) -> None:
        """A checkpoint with these offsets is on disk."""
        self._reading.saved(offsets)

    def refuse(self, refusals: Sequence[Refusal]) -> None:
        """Dead-letter what the learner did not take, of one of the batches whose messages are kept: a letter a message.

        Raises:
            PoisonedStreamError: too many events are invalid.
        """
        if self._repeated is not None:
            self._repeated.take_back({(each.partition, each.offset, each.row) for each in refusals})
        of_message = defaultdict[tuple[int, int], list[Refusal]](list)
        for refusal in refusals:
            of_message[refusal.partition, refusal.offset].append(refusal)
        for place, refused in of_message.items():
            message, first_event, num_events = self._retained.find(place)
            rows = [each.row for each in refused] if holds_many(message) else None
            first = refused[0]
            self._dead_letters.send(dead_letter(message, first.reason, first.sentence, rows))
            self._telemetry.count("penstock_events_invalid_total", len(refused), reason=first.reason)
            if first.reason == "classes":
                self._quarantine.refused_later(first_event, num_events, len(refused), first.sentence)

    def judged(self) -> None:
        """Whatever the learner refuses of the oldest batch that awaits word has been told to `refuse`."""
        if self._open and self._repeated is not None:
            self._open.popleft()
            self._repeated.judged()

    def _next_decided(self, timeout_seconds: float) -> tuple[ClosedBatch, Decoded] | None:
        """The next batch, once it is known which of its events are repeats."""
        next_ = self._waiting
        if next_ is None:
            next_ = self._next_joined(timeout_seconds) if self._late_labels else self._next_decoded(timeout_seconds)
        while self._open and self._open[0] < self._num_batches - self._ahead:
            self.judged()
        must_wait = next_ is not None and self._repeated is not None and self._repeated.must_wait(next_[1])
        self._waiting = next_ if must_wait else None
        return None if must_wait else next_

    def _next_decoded(self, timeout_seconds: float) -> tuple[ClosedBatch, Decoded] | None:
        if not self._decoded:
            closed = self._reading.next_closed(timeout_seconds)
            if closed is None:
                return None
            may_go_together = self._is_plain and not self._late_labels
            batches = [closed, *(self._reading.closed_behind(closed) if may_go_together else ())]
            decoded = self._decoder.decode_together([each.messages for each in batches], SWITCHED_OFF)
            self._decoded.extend(zip(batches, decoded, strict=True))
            self._is_plain = all(each.is_plain for each in decoded)
        return self._decoded.popleft()

    def _next_joined(self, timeout_seconds: float) -> tuple[ClosedBatch, Decoded] | None:
        """The same with late labels joined; a batch whose predictions are not certain yet is held until they are."""
        assert self._late_labels is not None  # asked for only then
        deadline = self._clock.monotonic_seconds() + timeout_seconds
        if self._joining is None:
            self._late_labels.keep_up()
            self._joining = self._next_decoded(timeout_seconds)
            if self._joining is None:
                return None
            self._late_labels.begin(self._joining[0].messages)
        closed, decoded = self._joining
        if decoded.late:
            remaining = max(deadline - self._clock.monotonic_seconds(), 0.0)
            found = self._late_labels.find(closed.messages, decoded.late, remaining)
            if found is None:
                return None
            decoded = self._decoder.decode(closed.messages, found)
            self._telemetry.count("penstock_late_labels_joined_total", len(found.values))
        self._joining = None
        return closed, decoded

    def _set_aside(self, closed: ClosedBatch, decoded: Decoded) -> None:
        """Dead-letter what is invalid, unless there is so much of it that the trainer must stop."""
        was_clean = self._quarantine.is_clean
        self._quarantine.note(decoded.accepted, decoded.invalid[-1].sentence if decoded.invalid else "")
        for refused in decoded.invalid:
            message = closed.messages[refused.index]
            self._dead_letters.send(dead_letter(message, refused.reason, refused.sentence, refused.rows))
        by_reason = Counter[str]()
        for refused in decoded.invalid:
            by_reason[refused.reason] += refused.num_events
        for reason, num_events in by_reason.items():
            self._telemetry.count("penstock_events_invalid_total", num_events, reason=reason)
        if by_reason and was_clean:
            first = closed.messages[decoded.invalid[0].index]
            log.warning(
                "events refused",
                num_events=by_reason.total(),
                reasons=dict(by_reason),
                first_partition=first.partition(),
                first_offset=first.offset(),
            )


def _next_offsets(closed: ClosedBatch) -> Offsets:
    return Offsets(next={message.partition(): message.offset() + 1 for message in closed.messages})
