"""From Kafka messages to one columnar batch of valid events, and word on every event that is not."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal, cast

import numpy as np
import pyarrow as pa

from penstock.features import FeatureSchema
from penstock.flow import ClassRequest, Control, ImportRequest, JudgedAnswers
from penstock.wire.arrow_events import ArrowEvents, count_rows
from penstock.wire.arrow_stream import MAGIC
from penstock.wire.assembly import assemble
from penstock.wire.columns import TENANT, batch_schema
from penstock.wire.control import CONTROL_TYPE, decode_control
from penstock.wire.event_columns import EVENT_ID
from penstock.wire.invalid import InvalidMessage, RefusedMessageError, shown
from penstock.wire.json_events import COLUMNAR_FROM_BYTES, JsonEvents
from penstock.wire.late_labels import FoundPredictions, LateLabel, PredictionJoin
from penstock.wire.message import Message
from penstock.wire.part import Part
from penstock.wire.rules import Mask

JSON_TYPE: Final = "application/json"
ARROW_TYPE: Final = "application/vnd.apache.arrow.stream"
OPENING_BRACE: Final = b"{"
WHITESPACE: Final = b" \t\r\n"
ACCEPTED: Final[Mask] = np.ones(1, dtype=np.bool_)
NONE_FOUND: Final = FoundPredictions()

ContentType = Literal[
    "application/json", "application/vnd.apache.arrow.stream", "application/vnd.penstock.control+json"
]


@dataclass(frozen=True, kw_only=True)
class Decoded:
    """What a batch of messages held.

    `events` are the accepted events in message order, with the columns of `EventBatch.events`; `controls` are control
    events and retractions, each at its place among them. `invalid` has an entry for each message with refused events,
    in message order; `accepted` is bool [all events and controls] in message order. `late` are the events that name a
    prediction in place of features, whether it was among those found or not;
    `judged` says how good those predictions were of which it was. `is_plain`: every message holds one event or none
    that is valid, and nothing but events.
    """

    events: pa.RecordBatch
    controls: tuple[Control, ...]
    invalid: tuple[InvalidMessage, ...]
    accepted: Mask
    late: tuple[LateLabel, ...] = ()
    judged: tuple[JudgedAnswers, ...] = ()
    is_plain: bool = False


class EventDecoder:
    """Decodes labelled events, JSON and Arrow, for one feature schema, and controls. Not thread-safe."""

    def __init__(
        self,
        schema: FeatureSchema,
        *,
        columnar_from_bytes: int = COLUMNAR_FROM_BYTES,
        keeps_event_ids: bool = False,
    ) -> None:
        """With `keeps_event_ids` decoded events, and those of retractions, have one more column, `event_id` string."""
        self._schema = batch_schema(schema)
        predictions = PredictionJoin(schema)
        self._json = JsonEvents(
            schema, predictions, columnar_from_bytes=columnar_from_bytes, keeps_event_ids=keeps_event_ids
        )
        self._arrow = ArrowEvents(schema, predictions, keeps_event_ids=keeps_event_ids)
        if keeps_event_ids:
            self._schema = self._schema.append(pa.field(EVENT_ID, pa.string()))

    def count_events(self, message: Message) -> int:
        """How many events a message holds, without decoding it: at least 1, and 1 for one that does not read."""
        value = message.value()
        return count_rows(value) if value is not None and value.startswith(MAGIC) else 1

    def decode(self, messages: Sequence[Message], found: FoundPredictions = NONE_FOUND) -> Decoded:
        """Decode messages in order. A refused event costs no other event anything.

        Whoever joins late labels decodes twice: the first time to learn which predictions they name.
        """
        values = [message.value() or b"" for message in messages]
        invalid: list[InvalidMessage] = []
        json_at, arrow_at, control_at = _sorted_by_content(messages, values, invalid)
        parts: list[Part] = []
        late: list[LateLabel] = []
        accepted_by_message: dict[int, Mask] = {}
        if json_at:
            of_value = np.array(json_at, dtype=np.int64)
            part, refused, named = self._json.decode([values[at] for at in json_at], of_value, found)
            parts.append(part)
            # Headers cost a microsecond each: only of what is no labelled event they are asked for a control.
            controls = {each.index for each in refused if _named_type(messages[each.index]) == CONTROL_TYPE}
            control_at.extend(controls)
            invalid.extend(each for each in refused if each.index not in controls)
            late.extend(named)
        for at in arrow_at:
            try:
                stream = self._arrow.decode(values[at], at, found)
            except RefusedMessageError as error:
                invalid.append(_refused(at, error, count_rows(values[at])))
                continue
            parts.append(stream.part)
            late.extend(stream.late)
            accepted_by_message[at] = stream.accepted
            if stream.invalid is not None:
                invalid.append(stream.invalid)
        requests = _requests(values, control_at, invalid)
        invalid.sort(key=lambda refused: refused.index)
        events, placed = assemble(messages, parts, requests, self._schema)
        return Decoded(
            events=events,
            controls=placed,
            invalid=tuple(invalid),
            accepted=_accepted(len(messages), invalid, accepted_by_message),
            late=tuple(late),
            judged=_by_version(parts),
            is_plain=not (arrow_at or control_at or placed or late),
        )

    def decode_together(
        self, batches: Sequence[Sequence[Message]], found: FoundPredictions = NONE_FOUND
    ) -> list[Decoded]:
        """Decode several batches, each as `decode` would. Where all are plain it costs little more than one of them."""
        if len(batches) > 1:
            decoded = self.decode([message for batch in batches for message in batch], found)
            if decoded.is_plain:
                return list(apart(decoded, [len(batch) for batch in batches]))
        return [self.decode(batch, found) for batch in batches]


def apart(decoded: Decoded, sizes: Sequence[int]) -> Iterator[Decoded]:
    """What was decoded together, as the batches it came from: plain, of `sizes` messages each."""
    tenant = decoded.events.schema.get_field_index(TENANT)
    first = first_row = 0
    for size in sizes:
        accepted = decoded.accepted[first : first + size]
        events = decoded.events.slice(first_row, np.count_nonzero(accepted))
        if tenant >= 0 and events.column(tenant).null_count == events.num_rows:
            events = events.remove_column(tenant)
        yield Decoded(
            events=events,
            controls=(),
            invalid=tuple(
                replace(refused, index=refused.index - first)
                for refused in decoded.invalid
                if first <= refused.index < first + size
            ),
            accepted=accepted,
            is_plain=True,
        )
        first, first_row = first + size, first_row + events.num_rows


def holds_many(message: Message) -> bool:
    """True for an Arrow message, whose events are refused row by row."""
    return (message.value() or b"").startswith(MAGIC)


def _sorted_by_content(
    messages: Sequence[Message], values: Sequence[bytes], invalid: list[InvalidMessage]
) -> tuple[list[int], list[int], list[int]]:
    """Positions of JSON, of Arrow and of control messages; the others are appended to `invalid`."""
    found: dict[ContentType, list[int]] = {JSON_TYPE: [], ARROW_TYPE: [], CONTROL_TYPE: []}
    json_at = found[JSON_TYPE]
    for at, value in enumerate(values):
        if value.startswith(OPENING_BRACE):
            json_at.append(at)
            continue
        try:
            found[_content_type(messages[at], value)].append(at)
        except RefusedMessageError as error:
            invalid.append(_refused(at, error, 1))
    return json_at, found[ARROW_TYPE], found[CONTROL_TYPE]


def _content_type(message: Message, value: bytes) -> ContentType:
    """What a value that does not begin with a brace holds; headers cost a microsecond and are read here only.

    Raises:
        RefusedMessageError: there is no value, or its content type is another one.
    """
    if not value:
        raise RefusedMessageError("decode", "The message has no value; it must be a labelled event.")
    if value.lstrip(WHITESPACE).startswith(OPENING_BRACE):
        return JSON_TYPE
    named = _named_type(message)
    if named is None:
        return ARROW_TYPE if value.startswith(MAGIC) else JSON_TYPE
    if named in (JSON_TYPE, ARROW_TYPE, CONTROL_TYPE):
        return cast(ContentType, named)
    raise RefusedMessageError(
        "content_type", f"content-type is {shown(named)}; it must be {JSON_TYPE}, {ARROW_TYPE} or {CONTROL_TYPE}."
    )


def _named_type(message: Message) -> str | None:
    """What the header `content-type` says, without parameters; None if there is none."""
    named = [content or b"" for name, content in message.headers() or () if name.lower() == "content-type"]
    return named[-1].decode(errors="replace").partition(";")[0].strip().lower() if named else None


def _requests(
    values: Sequence[bytes], control_at: Sequence[int], invalid: list[InvalidMessage]
) -> dict[int, ClassRequest | ImportRequest]:
    """What control events ask for, by position; malformed ones are appended to `invalid`."""
    requests: dict[int, ClassRequest | ImportRequest] = {}
    for at in control_at:
        try:
            requests[at] = decode_control(values[at])
        except RefusedMessageError as error:
            invalid.append(_refused(at, error, 1))
    return requests


def _by_version(parts: Sequence[Part]) -> tuple[JudgedAnswers, ...]:
    """How good the answers were that the events judge, oldest version first."""
    events, right = Counter[int](), Counter[int]()
    for part in parts:
        for version, is_right in part.judged:
            events[version] += 1
            right[version] += is_right
    return tuple(JudgedAnswers(version=each, events=events[each], right=right[each]) for each in sorted(events))


def _refused(at: int, error: RefusedMessageError, num_events: int) -> InvalidMessage:
    return InvalidMessage(index=at, rows=None, num_events=num_events, reason=error.reason, sentence=str(error))


def _accepted(num_messages: int, invalid: Sequence[InvalidMessage], streams: Mapping[int, Mask]) -> Mask:
    """For every event in message order: is it accepted."""
    if not invalid and not streams:
        return np.ones(num_messages, dtype=np.bool_)
    accepted: list[Mask] = [streams.get(at, ACCEPTED) for at in range(num_messages)]
    for refused in invalid:
        if refused.rows is None:
            accepted[refused.index] = np.zeros(refused.num_events, dtype=np.bool_)
    return np.concatenate(accepted)
