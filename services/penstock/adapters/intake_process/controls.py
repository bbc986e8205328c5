"""Controls as they travel from the intake process to the trainer."""

from typing import Any

import msgspec
import pyarrow as pa

from penstock.flow import ClassRequest, Control, EventPlace, ImportRequest, RetractionRequest


class SentRetraction(msgspec.Struct, frozen=True, kw_only=True):
    """`RetractionRequest` with its event as an Arrow stream of one batch."""

    event: bytes
    of: EventPlace | str


class SentControl(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`Control`, its request in the field of its kind."""

    at: int
    partition: int
    offset: int
    row: int
    classes: ClassRequest | None = None
    imported: ImportRequest | None = None
    retraction: SentRetraction | None = None


def sent(control: Control) -> SentControl:
    """A control to be sent."""
    request = control.request
    return SentControl(
        at=control.at,
        partition=control.partition,
        offset=control.offset,
        row=control.row,
        classes=request if isinstance(request, ClassRequest) else None,
        imported=request if isinstance(request, ImportRequest) else None,
        retraction=SentRetraction(event=_stream(request.event), of=request.of)
        if isinstance(request, RetractionRequest)
        else None,
    )


def received(control: SentControl) -> Control:
    """The control that was sent."""
    request: ClassRequest | ImportRequest | RetractionRequest | None = control.classes or control.imported
    if control.retraction is not None:
        request = RetractionRequest(event=_batch(control.retraction.event), of=control.retraction.of)
    assert request is not None  # one of the three is sent
    return Control(at=control.at, partition=control.partition, offset=control.offset, row=control.row, request=request)


def _stream(batch: Any) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema) as writer:
        writer.write_batch(batch)
    content: bytes = sink.getvalue().to_pybytes()
    return content


def _batch(stream: bytes) -> Any:
    return pa.ipc.open_stream(stream).read_next_batch()
