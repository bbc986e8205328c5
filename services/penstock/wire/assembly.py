"""One columnar batch from the accepted events of many messages, with what is not to be learnt set apart."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from penstock.clock import LATEST_MS
from penstock.flow import ClassRequest, Control, EventPlace, ImportRequest, RetractionRequest
from penstock.wire.columns import TENANT
from penstock.wire.message import Message
from penstock.wire.part import Part

Int64s = npt.NDArray[np.int64]
Targets = Sequence[EventPlace | str | None]


def assemble(
    messages: Sequence[Message],
    parts: Sequence[Part],
    requests: Mapping[int, ClassRequest | ImportRequest],
    schema: Any,
) -> tuple[pa.RecordBatch, tuple[Control, ...]]:
    """The events to learn, in message order, and the controls among them.

    Args:
        messages: of the batch.
        parts: their accepted events, retractions included.
        requests: of the control events, by position of their message.
        schema: `wire.columns.batch_schema`; followed by `event_id` where the parts have it; `tenant` is added
            where an event has one.
    """
    rows, message = _in_message_order(messages, parts, schema)
    targets = _targets(parts)
    if targets is None:
        learnt = np.ones(len(message), dtype=np.bool_)
    else:
        targets = [targets[at] for at in _order(parts).tolist()]
        learnt = np.array([target is None for target in targets], dtype=np.bool_)
    if not requests and learnt.all():
        return rows, ()
    before: Int64s = np.cumsum(learnt) - learnt
    found = [
        (int(message[at]), _retraction(rows.slice(at, 1), target, int(before[at]), messages[message[at]]))
        for at, target in enumerate(targets or ())
        if target is not None
    ]
    events = rows if learnt.all() else rows.filter(pa.array(learnt))
    behind = np.searchsorted(message[learnt], list(requests))
    for (position, request), at in zip(requests.items(), behind.tolist(), strict=True):
        found.append((position, _control(messages[position], 0, at, request)))
    found.sort(key=lambda placed: placed[0])  # stable: rows of one message are in order already
    return events, tuple(control for _, control in found)


def _in_message_order(messages: Sequence[Message], parts: Sequence[Part], schema: Any) -> tuple[Any, Int64s]:
    """All rows of all parts, and the message int64 of each."""
    partition = np.array([message.partition() for message in messages], dtype=np.int32)
    offset = np.array([message.offset() for message in messages], dtype=np.int64)
    # Without a timestamp (type 0) Kafka says -1, and a producer may say anything, such as microseconds.
    timestamp_ms = np.clip(np.array([message.timestamp()[1] for message in messages], dtype=np.int64), 0, LATEST_MS)
    with_tenant = any(part.tenant is not None for part in parts)
    if with_tenant:
        schema = schema.append(pa.field(TENANT, pa.string()))
    batches = []
    for part in parts:
        columns = [
            *part.features,
            part.label,
            part.weight,
            pa.array(partition[part.message]),
            pa.array(offset[part.message]),
            pa.array(part.row),
            pa.array(timestamp_ms[part.message]),
        ]
        if part.event_id is not None:
            columns.append(part.event_id)
        if with_tenant:
            columns.append(pa.nulls(len(part.label), pa.string()) if part.tenant is None else part.tenant)
        batches.append(pa.RecordBatch.from_arrays(columns, schema=schema))
    if not batches:
        return pa.RecordBatch.from_pylist([], schema=schema), np.empty(0, dtype=np.int64)
    if len(batches) == 1:
        return batches[0], parts[0].message
    order = _order(parts)
    message = np.concatenate([part.message for part in parts])[order]
    return pa.concat_batches(batches).take(pa.array(order)), message


def _order(parts: Sequence[Part]) -> Int64s:
    """The rows of all parts by message; within a message they are in order already."""
    order: Int64s = np.argsort(np.concatenate([part.message for part in parts]), kind="stable")
    return order


def _targets(parts: Sequence[Part]) -> Targets | None:
    """What each row of each part retracts; None if none does."""
    if all(part.retracts is None for part in parts):
        return None
    return [
        target for part in parts for target in ([None] * len(part.message) if part.retracts is None else part.retracts)
    ]


def _retraction(row: Any, target: EventPlace | str, at: int, message: Message) -> Control:
    position = int(row.column("row")[0].as_py())
    return _control(message, position, at, RetractionRequest(event=row, of=target))


def _control(message: Message, row: int, at: int, request: ClassRequest | ImportRequest | RetractionRequest) -> Control:
    return Control(at=at, partition=message.partition(), offset=message.offset(), row=row, request=request)
