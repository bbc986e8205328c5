"""All JSON events of a batch in one columnar read, outside the interpreter lock, with proof that no row has shifted.

The messages are joined into one text, each wrapped as `{"<nonce>":<i>,"e":<message>}`. A message that holds two
documents, none, or text that closes the wrapper early would give its neighbours' rows other positions; but then the
column `<nonce>` is not exactly 0, 1, …, n-1 without nulls, since no sender knows the nonce, and nothing is believed.
"""

import secrets
from collections.abc import Sequence
from typing import Any, Final, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.json

from penstock.features import Feature, FeatureSchema
from penstock.wire.event_columns import (
    EVENT_ID,
    FEATURES,
    LABEL,
    OCCURRED_AT,
    PREDICTION_ID,
    RETRACTS,
    TENANT,
    WEIGHT,
    EventColumns,
)

LabelType = Literal["string", "integer", "boolean"]
LABEL_TYPES: Final[dict[LabelType, Any]] = {"string": pa.string(), "integer": pa.int64(), "boolean": pa.bool_()}


class JsonColumns:
    """Reads many JSON events as columns; all or nothing."""

    def __init__(self, schema: FeatureSchema) -> None:
        self._schema = schema
        self._index = secrets.token_hex(8)
        self._prefixes = [self._prefix(0).lstrip(b"}")]
        self._options = {name: self._parse_options(kind) for name, kind in LABEL_TYPES.items()}

    def read(self, values: Sequence[bytes], label_type: LabelType) -> EventColumns | None:
        """The events, one row per value in order; None if any value is not exactly one event of the right types.

        Also None if any retracts another.

        Only labels of `label_type` are read: a type inferred from data would turn dates into timestamps.
        """
        table = self._table(values, self._options[label_type])
        return None if table is None else self._columns(table.column("e").chunk(0))

    def read_one(self, value: bytes) -> dict[str, Any] | None:
        """One event as plain values, its label of whichever type; None if it does not read."""
        for options in self._options.values():
            table = self._table([value], options)
            if table is not None and self._columns(table.column("e").chunk(0)) is not None:
                event: dict[str, Any] = table.column("e")[0].as_py()
                return event
        return None

    def _table(self, values: Sequence[bytes], options: Any) -> Any | None:
        """Columns `<nonce>` and `e` with one row per value, or None."""
        text = self._joined(values)
        read_options = pyarrow.json.ReadOptions(use_threads=False, block_size=len(text) + 1)
        try:
            table = pyarrow.json.read_json(pa.BufferReader(text), read_options=read_options, parse_options=options)
        except pa.ArrowInvalid:
            return None
        return table if self._is_one_row_each(table, len(values)) else None

    def _joined(self, values: Sequence[bytes]) -> bytes:
        while len(self._prefixes) < len(values):
            self._prefixes.append(self._prefix(len(self._prefixes)))
        parts = [b"}"] * (2 * len(values) + 1)
        parts[0:-1:2] = self._prefixes[: len(values)]
        parts[1::2] = values
        return b"".join(parts)

    def _prefix(self, position: int) -> bytes:
        return b'}\n{"%b":%d,"e":' % (self._index.encode(), position)

    def _is_one_row_each(self, table: Any, num_values: int) -> bool:
        index, events = table.column(self._index), table.column("e")
        if table.num_rows != num_values or index.null_count or events.null_count or index.num_chunks != 1:
            return False
        return bool(np.array_equal(index.chunk(0).to_numpy(), np.arange(num_values)))

    def _columns(self, events: Any) -> EventColumns | None:
        fields = dict(zip((field.name for field in events.type), events.flatten(), strict=True))
        features = fields.pop(FEATURES)
        if fields.pop(RETRACTS).null_count < len(events):  # rare, and of two types: left to the reader that takes both
            return None
        if not all(_is_utf8(column) for column in (*fields.values(), *features.flatten())):
            return None
        label = fields[LABEL]
        return EventColumns(
            num_rows=len(events),
            event_id=fields[EVENT_ID],
            label=label if label.type == pa.string() else pc.cast(label, pa.string()),
            occurred_at=fields[OCCURRED_AT],
            weight=fields[WEIGHT],
            tenant=fields[TENANT],
            prediction_id=fields[PREDICTION_ID],
            features=tuple(features.flatten()),
        )

    def _parse_options(self, label_type: Any) -> Any:
        features = pa.struct([pa.field(feature.name, _json_type(feature)) for feature in self._schema])
        event = pa.struct(
            [
                pa.field(EVENT_ID, pa.string()),
                pa.field(FEATURES, features),
                pa.field(LABEL, label_type),
                pa.field(OCCURRED_AT, pa.string()),
                pa.field(WEIGHT, pa.float64()),
                pa.field(TENANT, pa.string()),
                pa.field(RETRACTS, pa.string()),
                pa.field(PREDICTION_ID, pa.string()),
            ]
        )
        return pyarrow.json.ParseOptions(
            explicit_schema=pa.schema([pa.field(self._index, pa.int64()), pa.field("e", event)]),
            unexpected_field_behavior="ignore",
        )


def _json_type(feature: Feature) -> Any:
    """Numbers are read as float64 and rounded once more to float32 by both JSON paths, so that they agree."""
    if feature.kind == "vector":
        return pa.list_(pa.float64())
    return pa.float64() if feature.kind == "number" else pa.string()


def _is_utf8(column: Any) -> bool:
    """False if a string column holds bytes that are not UTF-8: the reader does not look."""
    if column.type != pa.string():
        return True
    try:
        column.validate(full=True)
    except pa.ArrowInvalid:
        return False
    return True
