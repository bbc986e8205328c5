"""Events held out of training, by a hash of their features, to compare models on what one of them never learnt."""

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from penstock.flow import Control, EventBatch, RetractionRequest
from penstock.learning.config import ModelConfig
from penstock.learning.encoder import Encoder
from penstock.learning.heads.exceptions import RowKeys
from penstock.learning.rows import columns_of
from penstock.wire.columns import batch_schema

Mask = npt.NDArray[np.bool_]


class HeldOutSlice:
    """Takes a fixed share of the inputs out of micro-batches and keeps their newest events.

    The same input is always on the same side: a repetition, a correction with another label, a retraction.
    """

    def __init__(self, model: ModelConfig, *, share: float, most: int) -> None:
        """`share` in [0, 1); of what is held out the newest `most` events are kept."""
        self._schema = model.schema
        self._encoder = Encoder(model.schema, model.backbone)
        self._keys = RowKeys(self._encoder.dense_width + self._encoder.tokens_width)
        self._threshold = np.uint64(int(share * 2**64))
        self._most = most
        self._kept: list[Any] = []
        self._num_kept = 0
        self.num_held_out = 0

    def without(self, batch: EventBatch) -> EventBatch:
        """The batch without the events held out, which are kept here; a retraction of one of them has no effect."""
        out = self._mask(batch.events)
        if not out.any() and not batch.controls:
            return batch
        self._keep(batch.events.filter(pa.array(out)))
        before = np.concatenate([[0], np.cumsum(~out)])
        controls = [control for control in batch.controls if not self._is_of_held_out(control)]
        return replace(
            batch,
            events=batch.events.filter(pa.array(~out)),
            controls=tuple(replace(control, at=int(before[control.at])) for control in controls),
        )

    @property
    def events(self) -> Any:
        """What is kept, in the order of arrival: a record batch with the columns of `wire.columns.batch_schema`."""
        if not self._kept:
            return pa.RecordBatch.from_pylist([], schema=batch_schema(self._schema))
        rows = pa.concat_batches(self._kept)
        return rows.slice(max(rows.num_rows - self._most, 0))

    def _is_of_held_out(self, control: Control) -> bool:
        return isinstance(control.request, RetractionRequest) and bool(self._mask(control.request.event).any())

    def _mask(self, events: Any) -> Mask:
        if not events.num_rows:
            return np.zeros(0, dtype=np.bool_)
        rows = self._encoder.encode(columns_of(events, self._schema))
        return self._keys(rows.dense, rows.tokens)[:, 0] < self._threshold

    def _keep(self, events: Any) -> None:
        self.num_held_out += events.num_rows
        self._num_kept += events.num_rows
        self._kept.append(events.select(batch_schema(self._schema).names))
        while self._num_kept - self._kept[0].num_rows >= self._most:
            self._num_kept -= self._kept.pop(0).num_rows
