"""Arrow events: one message is an IPC stream of many, each of which is accepted or refused by itself."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import numpy as np
import pyarrow as pa

from penstock.features import FeatureSchema
from penstock.wire.arrow_stream import stream_size
from penstock.wire.arrow_types import (
    MAX_TEXT_BYTES,
    ArrowTypeError,
    as_feature,
    as_instants,
    as_labels,
    as_numbers,
    as_targets,
    as_text,
)
from penstock.wire.columns import feature_column
from penstock.wire.event_columns import (
    EVENT_ID,
    FEATURES,
    FIELDS,
    LABEL,
    OCCURRED_AT,
    PREDICTION_ID,
    RETRACTS,
    TENANT,
    WEIGHT,
    EventColumns,
)
from penstock.wire.invalid import InvalidMessage, Reason, RefusedMessageError
from penstock.wire.late_labels import FoundPredictions, LateLabel, PredictionJoin, judged
from penstock.wire.part import Part
from penstock.wire.retraction import Target, targets_of
from penstock.wire.rules import Mask
from penstock.wire.validation import accepted_ids, validate

MAX_ROWS: Final = 1_000_000
"""Events that one message may hold."""
MAX_BYTES: Final = MAX_TEXT_BYTES
"""Bytes that one message may decompress to."""
UNREADABLE: Final = (pa.ArrowException, OSError, ValueError, OverflowError, MemoryError)
"""What pyarrow raises over a stream that is broken; names that are not UTF-8 are a `ValueError`."""


@dataclass(frozen=True, kw_only=True)
class DecodedStream:
    """The accepted events of one message, `accepted` bool [all of it], what was refused, and what was late."""

    part: Part
    accepted: Mask
    invalid: InvalidMessage | None
    late: list[LateLabel]


class ArrowEvents:
    """Decodes messages that hold an Arrow IPC stream each.

    Columns: `event_id`, `label`, optionally `occurred_at`, `weight`, `tenant`, `retracts`, `prediction_id`, and the
    features: either one struct column `features`, or a column for each under its own name. Others are ignored.
    """

    def __init__(self, schema: FeatureSchema, predictions: PredictionJoin, *, keeps_event_ids: bool = False) -> None:
        self._schema = schema
        self._keeps_event_ids = keeps_event_ids
        self._predictions = predictions

    def decode(self, value: bytes, message: int, found: FoundPredictions) -> DecodedStream:
        """Decode one message, the one at `message` of its batch; late labels get the features found.

        Raises:
            RefusedMessageError: the whole message is refused.
        """
        events = self._read(value)
        of_row = np.full(events.num_rows, message, dtype=np.int64)
        late = self._predictions.late_labels(events, of_row)
        if late:
            events = self._predictions.joined(events, of_row, found)
        checked = validate(events, self._schema)
        rows = np.flatnonzero(checked.accepted)
        part = Part(
            message=of_row[rows],
            row=rows.astype(np.int32),
            features=checked.features,
            label=checked.label,
            weight=checked.weight,
            tenant=checked.tenant,
            retracts=checked.retracts,
            judged=judged(events, checked.accepted),
            event_id=accepted_ids(events, checked) if self._keeps_event_ids else None,
        )
        if not checked.faults:
            return DecodedStream(part=part, accepted=checked.accepted, invalid=None, late=late)
        first, refused = checked.faults[0], tuple(fault.row for fault in checked.faults)
        more = "" if len(refused) == 1 else f" {len(refused) - 1} more of its {events.num_rows} events are refused."
        invalid = InvalidMessage(
            index=message,
            rows=refused,
            num_events=len(refused),
            reason=first.reason,
            sentence=f"Row {first.row}: {first.sentence}{more}",
        )
        return DecodedStream(part=part, accepted=checked.accepted, invalid=invalid, late=late)

    def _read(self, value: bytes) -> EventColumns:
        _check_size(value)
        try:
            return self._columns(_read_stream(value))
        except UNREADABLE as error:
            raise RefusedMessageError("decode", f"The Arrow stream does not read: {error}.") from error

    def _columns(self, table: Any) -> EventColumns:
        return EventColumns(
            num_rows=table.num_rows,
            event_id=_column(table, EVENT_ID, as_text, "event_id"),
            label=_column(table, LABEL, as_labels, "label"),
            occurred_at=_column(table, OCCURRED_AT, as_instants, "occurred_at"),
            weight=_column(table, WEIGHT, as_numbers, "weight"),
            tenant=_column(table, TENANT, as_text, "tenant"),
            prediction_id=_column(table, PREDICTION_ID, as_text, "prediction_id"),
            features=self._features(table),
            retracts=_retracts(table),
        )

    def _features(self, table: Any) -> tuple[Any, ...]:
        position = table.schema.get_field_index(FEATURES)
        if position >= 0 and pa.types.is_struct(table.schema.field(position).type):
            struct = table.column(position)
            held = dict(zip((field.name for field in struct.type), struct.flatten(), strict=True))
        else:
            # A flat column that is a field of the event is never a feature: the label must not become an input.
            flat = zip(table.schema.names, table.columns, strict=True)
            held = {name: column for name, column in flat if name == FEATURES or name not in FIELDS}
        return tuple(
            _converted(
                held.get(feature.name, pa.nulls(table.num_rows)),
                feature_column(feature.name),
                partial(as_feature, feature=feature),
                "field",
            )
            for feature in self._schema
        )


def count_rows(value: bytes) -> int:
    """Events in an Arrow message, by its metadata alone; 1 for one that is broken, too large or empty."""
    try:
        num_rows = stream_size(value).num_rows
    except ValueError:
        return 1
    return num_rows if 1 <= num_rows <= MAX_ROWS else 1


def _check_size(value: bytes) -> None:
    try:
        size = stream_size(value)
    except ValueError as error:
        raise RefusedMessageError("decode", f"The value is not an Arrow IPC stream: {error}.") from error
    for number, limit, what in (
        (size.num_rows, MAX_ROWS, "rows"),
        (size.num_values, MAX_ROWS, "values in one dictionary"),
        (size.num_bytes, MAX_BYTES, "bytes once decompressed"),
    ):
        if number > limit:
            raise RefusedMessageError("size", f"The Arrow stream holds {number} {what}; a message may hold {limit}.")


def _read_stream(value: bytes) -> Any:
    """All record batches, checked to the last offset and character before anything reads them."""
    with pa.ipc.open_stream(pa.py_buffer(value)) as reader:
        table = reader.read_all()
    table.validate(full=True)
    if len(set(table.schema.names)) < len(table.schema.names):
        raise RefusedMessageError("decode", f"The Arrow stream names a column twice: {', '.join(table.schema.names)}.")
    return table


def _retracts(table: Any) -> Sequence[Target | None] | None:
    if RETRACTS not in table.schema.names:
        return None
    try:
        return targets_of([target for chunk in table.column(RETRACTS).chunks for target in as_targets(chunk)])
    except ArrowTypeError as error:
        raise RefusedMessageError("retracts", f"Column {RETRACTS} {error}.") from error


def _column(table: Any, name: str, convert: Callable[[Any], Any], reason: Reason) -> Any:
    column = table.column(name) if name in table.schema.names else pa.nulls(table.num_rows)
    return _converted(column, name, convert, reason)


def _converted(column: Any, name: str, convert: Callable[[Any], Any], reason: Reason) -> Any:
    """One array of the type that validation reads. Chunks are converted first: each may have its own dictionary."""
    chunks = column.chunks if isinstance(column, pa.ChunkedArray) else [column]
    try:
        converted = [convert(chunk) for chunk in chunks] or [convert(pa.nulls(0, column.type))]
    except (ArrowTypeError, pa.ArrowException) as error:
        raise RefusedMessageError(reason, f"Column {name} {error}.") from error
    return converted[0] if len(converted) == 1 else pa.concat_arrays(converted)
