"""Labelled events to bytes, for those who send them: JSON one by one, Arrow many a message."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import pyarrow as pa

from penstock.flow import EventPlace
from penstock.wire.event_columns import FEATURES, FIELDS, RETRACTS

FeatureValue = float | str | Sequence[float]


def json_event(
    *,
    event_id: str,
    label: str | bool | int,
    features: Mapping[str, FeatureValue] | None = None,
    prediction_id: str | None = None,
    occurred_at: str | None = None,
    weight: float | None = None,
    tenant: str | None = None,
    retracts: EventPlace | str | None = None,
) -> bytes:
    """One event as `schemas/labelled-event.schema.json` describes it; optional fields are left out, not null.

    It needs `features`, or the `prediction_id` of the answer to them. With `retracts`, features, label and weight are
    those of the event retracted, which is undone.
    """
    event = {
        "event_id": event_id,
        "features": features,
        "label": label,
        "occurred_at": occurred_at,
        "weight": weight,
        "tenant": tenant,
        RETRACTS: retracts,
        "prediction_id": prediction_id,
    }
    return msgspec.json.encode({name: value for name, value in event.items() if value is not None})


def arrow_message(events: pa.RecordBatch | pa.Table) -> bytes:
    """Many events as one Arrow IPC stream, content type `application/vnd.apache.arrow.stream`.

    Args:
        events: columns `event_id`, `label`, optionally `occurred_at`, `weight`, `tenant`, `retracts`, `prediction_id`,
            and the features, either in a struct column `features` or as columns beside these, then put into it.
    """
    shaped = _with_features_struct(events)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, shaped.schema) as writer:
        writer.write(shaped)
    content: bytes = sink.getvalue().to_pybytes()
    return content


def _with_features_struct(events: Any) -> Any:
    table = events if isinstance(events, pa.Table) else pa.Table.from_batches([events])
    position = table.schema.get_field_index(FEATURES)
    if position >= 0 and pa.types.is_struct(table.schema.field(position).type):
        return table
    names = [name for name in table.schema.names if name == FEATURES or name not in FIELDS]
    flat = table.combine_chunks()
    columns = [flat.column(name).chunk(0) if flat.num_rows else pa.array([], flat.field(name).type) for name in names]
    others = table.drop_columns(names)
    if not names:
        return others
    struct = pa.StructArray.from_arrays(columns, fields=[table.schema.field(name) for name in names])
    return others.append_column(FEATURES, struct)
