"""JSON events of a batch, by whichever of two readers is quicker; both accept the same events with the same values."""

from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from penstock.features import FeatureSchema
from penstock.wire.event_columns import EventColumns
from penstock.wire.invalid import Fault, InvalidMessage
from penstock.wire.json_columns import JsonColumns, LabelType
from penstock.wire.json_documents import JsonDocuments
from penstock.wire.late_labels import FoundPredictions, LateLabel, PredictionJoin, judged
from penstock.wire.part import Part
from penstock.wire.validation import accepted_ids, validate

COLUMNAR_FROM_BYTES: Final = 8_388_608
"""Below, the typed reader takes half the time of the columnar one."""


class JsonEvents:
    """Decodes messages that hold one JSON event each."""

    def __init__(
        self,
        schema: FeatureSchema,
        predictions: PredictionJoin,
        *,
        columnar_from_bytes: int = COLUMNAR_FROM_BYTES,
        keeps_event_ids: bool = False,
    ) -> None:
        self._schema = schema
        self._columns = JsonColumns(schema)
        self._documents = JsonDocuments(schema, self._columns)
        self._predictions = predictions
        self._columnar_from_bytes = columnar_from_bytes
        self._keeps_event_ids = keeps_event_ids
        self._label_type: LabelType = "string"

    def decode(
        self, values: Sequence[bytes], messages: npt.NDArray[np.int64], found: FoundPredictions
    ) -> tuple[Part, list[InvalidMessage], list[LateLabel]]:
        """Decode `values`, of which `messages` int64 [n] are the messages; late labels get the features found."""
        columns: EventColumns | None = None
        positions: npt.NDArray[np.int64] | None = None
        faults: tuple[Fault, ...] = ()
        if sum(map(len, values)) >= self._columnar_from_bytes:
            columns = self._columns.read(values, self._label_type)
        if columns is None:
            read = self._documents.read(values)
            columns, positions, faults = read.columns, read.positions, read.faults
            self._label_type = read.label_type
        of_row = messages if positions is None else messages[positions]
        late = self._predictions.late_labels(columns, of_row)
        if late:
            columns = self._predictions.joined(columns, of_row, found)
        checked = validate(columns, self._schema)
        part = Part(
            message=of_row[checked.accepted] if checked.faults else of_row,
            row=np.zeros(len(checked.label), dtype=np.int32),
            features=checked.features,
            label=checked.label,
            weight=checked.weight,
            tenant=checked.tenant,
            retracts=checked.retracts,
            judged=judged(columns, checked.accepted),
            event_id=accepted_ids(columns, checked) if self._keeps_event_ids else None,
        )
        invalid = [
            InvalidMessage(
                index=int(of[fault.row]), rows=None, num_events=1, reason=fault.reason, sentence=fault.sentence
            )
            for of, refused in ((messages, faults), (of_row, checked.faults))
            for fault in refused
        ]
        return part, invalid, late
