"""Events that name an earlier prediction instead of carrying features: which they are, and putting the features in."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from penstock.features import FeatureSchema
from penstock.wire.event_columns import Answer, EventColumns
from penstock.wire.invalid import shown
from penstock.wire.json_columns import JsonColumns
from penstock.wire.json_documents import JsonDocuments

Rows = npt.NDArray[np.int64]

NONE: Rows = np.empty(0, dtype=np.int64)


class LateLabel(NamedTuple):
    """An event without features: the position of its message in the batch, and the prediction that it names."""

    message: int
    prediction_id: str


@dataclass(frozen=True, kw_only=True)
class FoundPredictions:
    """The answer to a batch's late labels: the logged prediction, as bytes, of each that has one.

    `otherwise` follows `prediction_id 'x'` in the sentence on each that has none.
    """

    values: Mapping[LateLabel, bytes] = field(default_factory=dict)
    otherwise: str = "is not among the logged predictions"


def late_rows(events: EventColumns) -> Rows:
    """Rows int64 [k] that name a prediction and have no feature at all."""
    if events.prediction_id.null_count == events.num_rows:
        return NONE
    late = events.prediction_id.is_valid().to_numpy(zero_copy_only=False)
    for column in events.features:
        if column.null_count < events.num_rows:
            late = late & column.is_null().to_numpy(zero_copy_only=False)
    rows: Rows = np.flatnonzero(late)
    return rows


class _Logged(msgspec.Struct):
    """What is read of a logged prediction beside its features."""

    model_version: int = 0
    label: str = ""


class PredictionJoin:
    """Puts the features of logged predictions into late labels."""

    def __init__(self, schema: FeatureSchema) -> None:
        self._documents = JsonDocuments(schema, JsonColumns(schema))
        self._answers = msgspec.json.Decoder(_Logged)

    def late_labels(self, events: EventColumns, messages: Rows) -> list[LateLabel]:
        """The late labels of decoded events, of which `messages` int64 [n] are the messages."""
        rows = late_rows(events)
        ids = events.prediction_id.take(pa.array(rows)).to_pylist() if len(rows) else []
        return [LateLabel(message, named) for message, named in zip(messages[rows].tolist(), ids, strict=True)]

    def joined(self, events: EventColumns, messages: Rows, found: FoundPredictions) -> EventColumns:
        """The events with features in late labels, and word on those that stay without."""
        rows = late_rows(events)
        labels = self.late_labels(events, messages)
        matched = [at for at, label in enumerate(labels) if label in found.values]
        read = self._documents.read([found.values[labels[at]] for at in matched])
        unmatched = {
            int(rows[at]): f"prediction_id {shown(label.prediction_id)} {found.otherwise}."
            for at, label in enumerate(labels)
            if label not in found.values
        }
        for fault in read.faults:
            at = matched[fault.row]
            named = shown(labels[at].prediction_id)
            unmatched[int(rows[at])] = f"prediction_id {named}: its logged prediction is refused: {fault.sentence}"
        filled = rows[np.array(matched, dtype=np.int64)[read.positions]]
        return replace(
            events,
            features=tuple(
                _filled(column, filled, values)
                for column, values in zip(events.features, read.columns.features, strict=True)
            ),
            unmatched=unmatched,
            answers=dict(self._answered(filled.tolist(), [found.values[labels[matched[at]]] for at in read.positions])),
        )

    def _answered(self, rows: list[int], values: list[bytes]) -> Iterator[tuple[int, Answer]]:
        """By row; nothing of what was logged without a version, or by another hand."""
        for row, value in zip(rows, values, strict=True):
            try:
                logged = self._answers.decode(value)
            except msgspec.DecodeError:
                continue
            if logged.model_version > 0:
                yield row, Answer(logged.model_version, logged.label)


def judged(events: EventColumns, accepted: npt.NDArray[np.bool_]) -> list[tuple[int, bool]]:
    """Version and whether it was right, of each accepted event whose features are a prediction's; no retractions."""
    return [
        (answer.version, answer.label == events.label[row].as_py())
        for row, answer in events.answers.items()
        if accepted[row] and (events.retracts is None or events.retracts[row] is None)
    ]


def _filled(column: Any, rows: Rows, values: Any) -> Any:
    """The column with `values` [k] in the places `rows` int64 [k]."""
    if column.type != values.type:
        column = pc.cast(column, values.type, safe=False)  # wider floats, or lists that may be of any length
    order = np.arange(len(column))
    order[rows] = len(column) + np.arange(len(rows))
    return pa.concat_arrays([column, values]).take(pa.array(order))
