"""From Kafka messages to one columnar batch of valid events, and word on every event that is not."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from penstock.features import FeatureSchema
from penstock.wire.arrow_events import ArrowEvents, count_rows
from penstock.wire.arrow_stream import MAGIC
from penstock.wire.columns import batch_schema
from penstock.wire.invalid import InvalidMessage, RefusedMessageError, shown
from penstock.wire.json_events import COLUMNAR_FROM_BYTES, JsonEvents
from penstock.wire.message import Message
from penstock.wire.part import Part
from penstock.wire.validation import Mask

JSON_TYPE: Final = "application/json"
ARROW_TYPE: Final = "application/vnd.apache.arrow.stream"
OPENING_BRACE: Final = b"{"
WHITESPACE: Final = b" \t\r\n"
ACCEPTED: Final[Mask] = np.ones(1, dtype=np.bool_)


@dataclass(frozen=True, kw_only=True)
class Decoded:
    """What a batch of messages held.

    `events` are the accepted events in message order, with the columns of `wire.columns.batch_schema`; `invalid` has
    an entry for each message with refused events, in message order; `accepted` is bool [all events] in message order.
    """

    events: pa.RecordBatch
    invalid: tuple[InvalidMessage, ...]
    accepted: Mask


class EventDecoder:
    """Decodes labelled events, JSON and Arrow, for one feature schema. Not thread-safe."""

    def __init__(self, schema: FeatureSchema, *, columnar_from_bytes: int = COLUMNAR_FROM_BYTES) -> None:
        self._schema = batch_schema(schema)
        self._json = JsonEvents(schema, columnar_from_bytes=columnar_from_bytes)
        self._arrow = ArrowEvents(schema)

    def count_events(self, message: Message) -> int:
        """How many events a message holds, without decoding it: at least 1, and 1 for one that does not read."""
        value = message.value()
        return count_rows(value) if value is not None and value.startswith(MAGIC) else 1

    def decode(self, messages: Sequence[Message]) -> Decoded:
        """Decode messages in order. A refused event costs no other event anything."""
        values = [message.value() or b"" for message in messages]
        invalid: list[InvalidMessage] = []
        json_at, arrow_at = _sorted_by_content(messages, values, invalid)
        parts: list[Part] = []
        accepted_by_message: dict[int, Mask] = {}
        if json_at:
            part, refused = self._json.decode([values[at] for at in json_at], np.array(json_at, dtype=np.int64))
            parts.append(part)
            invalid.extend(refused)
        for at in arrow_at:
            try:
                stream = self._arrow.decode(values[at], at)
            except RefusedMessageError as error:
                invalid.append(_refused(at, error, count_rows(values[at])))
                continue
            parts.append(stream.part)
            accepted_by_message[at] = stream.accepted
            if stream.invalid is not None:
                invalid.append(stream.invalid)
        invalid.sort(key=lambda refused: refused.index)
        return Decoded(
            events=self._batch(messages, parts),
            invalid=tuple(invalid),
            accepted=_accepted(len(messages), invalid, accepted_by_message),
        )

    def _batch(self, messages: Sequence[Message], parts: Sequence[Part]) -> Any:
        """One record batch of all parts, in message order."""
        partition = np.array([message.partition() for message in messages], dtype=np.int32)
        offset = np.array([message.offset() for message in messages], dtype=np.int64)
        # Without a timestamp (type 0) Kafka says -1.
        timestamp_ms = np.array([max(message.timestamp()[1], 0) for message in messages], dtype=np.int64)
        batches = [
            pa.RecordBatch.from_arrays(
                [
                    *part.features,
                    part.label,
                    part.weight,
                    pa.array(partition[part.message]),
                    pa.array(offset[part.message]),
                    pa.array(part.row),
                    pa.array(timestamp_ms[part.message]),
                ],
                schema=self._schema,
            )
            for part in parts
        ]
        if len(batches) == 1:
            return batches[0]
        if not batches:
            return pa.RecordBatch.from_pylist([], schema=self._schema)
        return _in_order(pa.concat_batches(batches), np.concatenate([part.message for part in parts]))


def _sorted_by_content(
    messages: Sequence[Message], values: Sequence[bytes], invalid: list[InvalidMessage]
) -> tuple[list[int], list[int]]:
    """Positions of JSON and of Arrow messages; the others are appended to `invalid`."""
    json_at: list[int] = []
    arrow_at: list[int] = []
    for at, value in enumerate(values):
        if value.startswith(OPENING_BRACE):
            json_at.append(at)
            continue
        try:
            (json_at if _content_type(messages[at], value) == JSON_TYPE else arrow_at).append(at)
        except RefusedMessageError as error:
            invalid.append(_refused(at, error, 1))
    return json_at, arrow_at


def _content_type(message: Message, value: bytes) -> Literal["application/json", "application/vnd.apache.arrow.stream"]:
    """What a value that does not begin with a brace holds; headers cost a microsecond and are read here only.

    Raises:
        RefusedMessageError: there is no value, or its content type is another one.
    """
    if not value:
        raise RefusedMessageError("decode", "The message has no value; it must be a labelled event.")
    if value.lstrip(WHITESPACE).startswith(OPENING_BRACE):
        return JSON_TYPE
    named = [content or b"" for name, content in message.headers() or () if name.lower() == "content-type"]
    if not named:
        return ARROW_TYPE if value.startswith(MAGIC) else JSON_TYPE
    content_type = named[-1].decode(errors="replace").partition(";")[0].strip().lower()
    if content_type == JSON_TYPE:
        return JSON_TYPE
    if content_type == ARROW_TYPE:
        return ARROW_TYPE
    raise RefusedMessageError(
        "content_type", f"content-type is {shown(content_type)}; it must be {JSON_TYPE} or {ARROW_TYPE}."
    )


def _refused(at: int, error: RefusedMessageError, num_events: int) -> InvalidMessage:
    return InvalidMessage(index=at, rows=None, num_events=num_events, reason=error.reason, sentence=str(error))


def _in_order(batch: Any, message: npt.NDArray[np.int64]) -> Any:
    """The rows ordered by message; within a message they are in order already."""
    if bool((np.diff(message) >= 0).all()):
        return batch
    return batch.take(pa.array(np.argsort(message, kind="stable")))


def _accepted(num_messages: int, invalid: Sequence[InvalidMessage], streams: Mapping[int, Mask]) -> Mask:
    """For every event in message order: is it accepted."""
    if not invalid and not streams:
        return np.ones(num_messages, dtype=np.bool_)
    accepted: list[Mask] = [streams.get(at, ACCEPTED) for at in range(num_messages)]
    for refused in invalid:
        if refused.rows is None:
            accepted[refused.index] = np.zeros(refused.num_events, dtype=np.bool_)
    return np.concatenate(accepted)
