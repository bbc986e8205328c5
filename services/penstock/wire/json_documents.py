"""JSON events one message at a time: exact about what is wrong with each, and quickest for a few small ones."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa

from penstock.errors import ConfigurationError
from penstock.features import Feature, FeatureSchema
from penstock.wire.columns import feature_column
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
from penstock.wire.invalid import Fault
from penstock.wire.json_columns import JsonColumns, LabelType
from penstock.wire.json_faults import fault
from penstock.wire.retraction import PlaceDocument, targets_of
from penstock.wire.vector_texts import VectorTexts

CHUNK = 32
"""Messages decoded at a time: of more, so many are decoded again if one of them is no event."""
FORBIDDEN_IN_NAMES = re.compile(r'["\\\x00-\x1f]')


@dataclass(frozen=True, kw_only=True)
class ReadDocuments:
    """`positions` int64: of the values that became rows of `columns`; one fault for each of the others."""

    columns: EventColumns
    positions: Any
    faults: tuple[Fault, ...]
    label_type: LabelType


class JsonDocuments:
    """Reads JSON events by a structure made from the schema, message by message.

    Every event that `JsonColumns` accepts is accepted here with the same values, so that what becomes of an event
    never depends on its neighbours.
    """

    def __init__(self, schema: FeatureSchema, columns: JsonColumns) -> None:
        self._schema = schema
        self._columns = columns
        self._decode = msgspec.json.Decoder(_event_type(schema, msgspec.Raw)).decode
        self._lenient_type = _event_type(schema, list[float] | None)
        self._vectors = {f"f{at}": (each.name, VectorTexts(each.width)) for at, each in enumerate(schema) if each.width}

    def read(self, values: Sequence[bytes]) -> ReadDocuments:
        """All events that decode; their label type is that of the last one, the best guess for the next batch."""
        events: list[Any] = []
        positions: list[int] = []
        faults: list[Fault] = []
        for start in range(0, len(values), CHUNK):
            chunk = values[start : start + CHUNK]
            try:
                events += list(map(self._decode, chunk))
                positions.extend(range(start, start + len(chunk)))
            except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
                events += self._read_one_by_one(chunk, start, positions, faults)
        vectors, refused = self._read_vectors(events)
        if refused:
            faults += [
                fault(positions[row], error, within=feature_column(name)) for row, (name, error) in refused.items()
            ]
            kept = [row for row in range(len(events)) if row not in refused]
            events, positions = [events[row] for row in kept], [positions[row] for row in kept]
            vectors = [column.take(pa.array(kept, pa.int64())) for column in vectors]
        return ReadDocuments(
            columns=self._to_columns(events, vectors),
            positions=np.array(positions, dtype=np.int64),
            faults=tuple(faults),
            label_type=_label_type(events[-1].label) if events else "string",
        )

    def _read_vectors(self, events: Sequence[Any]) -> tuple[list[Any], dict[int, tuple[str, Exception]]]:
        """The vector columns, and of rows with one that is no list of numbers the feature and what is wrong with it."""
        columns: list[Any] = []
        refused: dict[int, tuple[str, Exception]] = {}
        features = [event.features for event in events]
        for field, (name, texts) in self._vectors.items():
            read = texts.read([getattr(held, field, None) for held in features])
            columns.append(read.column)
            refused = {row: (name, error) for row, error in read.errors.items()} | refused
        return columns, refused

    def _read_one_by_one(
        self, values: Sequence[bytes], start: int, positions: list[int], faults: list[Fault]
    ) -> list[Any]:
        """The events that decode, their positions and the others' faults appended, counted from `start`."""
        events: list[Any] = []
        for position, value in enumerate(values, start):
            try:
                event = self._decode(value)
            except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
                event = self._read_leniently(value, error)
                if event is None:
                    faults.append(fault(position, error))
                    continue
            events.append(event)
            positions.append(position)
        return events

    def _read_leniently(self, value: bytes, error: Exception) -> Any | None:
        """The event, where the columnar reader is the more lenient of the two; None where it is not.

        It takes NaN and infinities for numbers and any depth of nesting, in fields that are ignored too.
        """
        if not isinstance(error, RecursionError) and b"NaN" not in value and b"Inf" not in value:
            return None
        row = self._columns.read_one(value)
        try:
            return None if row is None else msgspec.convert(row, self._lenient_type)
        except msgspec.ValidationError:
            return None

    def _to_columns(self, events: Sequence[Any], vectors: Sequence[Any]) -> EventColumns:
        read = iter(vectors)
        features = [event.features for event in events]
        return EventColumns(
            num_rows=len(events),
            event_id=_strings([event.event_id for event in events]),
            label=_label_column([event.label for event in events]),
            occurred_at=_strings([event.occurred_at for event in events]),
            weight=pa.array([event.weight for event in events], pa.float64()),
            tenant=_strings([event.tenant for event in events]),
            prediction_id=_strings([event.prediction_id for event in events]),
            features=tuple(
                next(read)
                if feature.kind == "vector"
                else _scalars(feature, [None if held is None else getattr(held, f"f{index}") for held in features])
                for index, feature in enumerate(self._schema)
            ),
            retracts=targets_of([event.retracts for event in events]),
        )


def _event_type(schema: FeatureSchema, vector_type: Any) -> Any:
    """A structure with one optional field per field of an event; what is required is said by validation."""
    for feature in schema:
        if FORBIDDEN_IN_NAMES.search(feature.name):
            raise ConfigurationError(
                f"model.features {feature.name!r}: a name must not hold quotes, backslashes or control characters."
            )
    features = msgspec.defstruct(
        "Features",
        [(f"f{index}", _python_type(feature, vector_type), None) for index, feature in enumerate(schema)],
        rename={f"f{index}": feature.name for index, feature in enumerate(schema)},
        gc=False,
    )
    return msgspec.defstruct(
        "Event",
        [
            (EVENT_ID, str | None, None),
            (FEATURES, features | None, None),
            (LABEL, str | bool | int | None, None),
            (OCCURRED_AT, str | None, None),
            (WEIGHT, float | None, None),
            (TENANT, str | None, None),
            (RETRACTS, str | PlaceDocument | None, None),
            (PREDICTION_ID, str | None, None),
        ],
        gc=False,
    )


def _python_type(feature: Feature, vector_type: Any) -> Any:
    if feature.kind == "vector":
        return vector_type
    return float | None if feature.kind == "number" else str | None


def _scalars(feature: Feature, held: list[Any]) -> Any:
    return pa.array(held, pa.float64() if feature.kind == "number" else pa.string())


def _strings(held: list[str | None]) -> Any:
    return pa.array(held, pa.string()) if held.count(None) < len(held) else pa.nulls(len(held), pa.string())


def _label_column(labels: list[Any]) -> Any:
    """Labels as text: a boolean is `true` or `false`, an integer its decimal digits."""
    return pa.array([label if type(label) is str else _label_text(label) for label in labels], pa.string())


def _label_text(label: bool | int | None) -> str | None:
    if label is None:
        return None
    return str(label).lower() if isinstance(label, bool) else str(label)


def _label_type(label: object) -> LabelType:
    if isinstance(label, bool):
        return "boolean"
    return "integer" if isinstance(label, int) else "string"
