"""What an Arrow IPC stream is about to ask for, read from its metadata alone: rows, and bytes once decompressed.

Arrow's reader allocates what a stream's headers claim before it looks at the data, so a hundred bytes may ask for a
terabyte. This walk, over Arrow's `Message.fbs` (flatbuffers, little-endian), comes first. It touches no data.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

MAGIC: Final = b"\xff\xff\xff\xff"
"""Continuation marker: how every encapsulated message begins."""
DICTIONARY_BATCH: Final = 2
RECORD_BATCH: Final = 3

_INT32 = struct.Struct("<i")
_UINT32 = struct.Struct("<I")
_UINT16 = struct.Struct("<H")
_INT64 = struct.Struct("<q")
_BUFFER = struct.Struct("<qq")


@dataclass(frozen=True, kw_only=True)
class StreamSize:
    """What the headers claim.

    `num_rows` of all record batches together; `num_values` of the longest single batch, dictionaries included;
    `num_bytes` of compressed batches once decompressed.
    """

    num_rows: int
    num_values: int
    num_bytes: int


def stream_size(stream: bytes) -> StreamSize:
    """How large the stream says that it is.

    Raises:
        ValueError: it is no Arrow stream, or a broken one.
    """
    num_rows = num_values = num_bytes = 0
    try:
        for header_type, batch, body in _batches(stream):
            length = batch.int64(0)
            num_values = max(num_values, length)
            num_bytes += sum(_decompressed(batch, stream, body))
            if header_type == RECORD_BATCH:
                num_rows += length
            if length < 0:
                raise ValueError("a record batch of negative length")
    except (struct.error, IndexError) as error:
        raise ValueError(f"the stream's metadata is broken: {error}") from error
    return StreamSize(num_rows=num_rows, num_values=num_values, num_bytes=num_bytes)


@dataclass(frozen=True)
class _Table:
    """A flatbuffers table at `position` of `buffer`."""

    buffer: bytes
    position: int

    def field(self, index: int) -> int | None:
        """Where a field's value lies; None if it has its default."""
        vtable = self.position - _at(_INT32, self.buffer, self.position)
        slot = 4 + 2 * index
        if slot >= _at(_UINT16, self.buffer, vtable):
            return None
        offset = _at(_UINT16, self.buffer, vtable + slot)
        return self.position + offset if offset else None

    def int64(self, index: int) -> int:
        where = self.field(index)
        return 0 if where is None else _at(_INT64, self.buffer, where)

    def byte(self, index: int) -> int:
        where = self.field(index)
        return 0 if where is None else self.buffer[where]

    def table(self, index: int) -> "_Table | None":
        where = self.field(index)
        return None if where is None else _Table(self.buffer, where + _at(_UINT32, self.buffer, where))


def _at(kind: struct.Struct, buffer: bytes, position: int) -> int:
    if position < 0:
        raise IndexError("an offset points before the start")
    value: int = kind.unpack_from(buffer, position)[0]
    return value


def _batches(stream: bytes) -> Iterator[tuple[int, _Table, int]]:
    """Header type, `RecordBatch` table and body position of every record and dictionary batch."""
    position = 0
    while position < len(stream):
        if stream[position : position + 4] != MAGIC:
            raise ValueError("a message does not begin with Arrow's continuation marker")
        size = _at(_INT32, stream, position + 4)
        if size == 0:
            return
        start = position + 8
        body = start + size
        if size < 0 or body > len(stream):
            raise ValueError("the stream is cut short")
        metadata = stream[start:body]
        message = _Table(metadata, _at(_UINT32, metadata, 0))
        header_type, header, body_length = message.byte(1), message.table(2), message.int64(3)
        position = body + body_length
        if body_length < 0 or position > len(stream):
            raise ValueError("the stream is cut short")
        batch = header.table(1) if header is not None and header_type == DICTIONARY_BATCH else header
        if batch is not None and header_type in (DICTIONARY_BATCH, RECORD_BATCH):
            yield header_type, batch, body


def _decompressed(batch: _Table, stream: bytes, body: int) -> Iterator[int]:
    """Bytes of each buffer once decompressed; nothing for a batch that is not compressed."""
    buffers = batch.field(2)
    if batch.field(3) is None or buffers is None:
        return
    vector = buffers + _at(_UINT32, batch.buffer, buffers)
    for index in range(_at(_UINT32, batch.buffer, vector)):
        offset, length = _BUFFER.unpack_from(batch.buffer, vector + 4 + 16 * index)
        if length > 0:
            claimed = _at(_INT64, stream, body + offset)
            yield length if claimed < 0 else claimed
