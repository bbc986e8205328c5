"""Some rows of an Arrow message as a message of their own."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from penstock.errors import InvalidEventError
from penstock.wire.arrow_events import MAX_BYTES, MAX_ROWS, UNREADABLE
from penstock.wire.arrow_stream import stream_size


def only_rows(value: bytes, rows: Sequence[int]) -> bytes:
    """An Arrow IPC stream of these rows, in the order of the message, with its schema and all its columns.

    Args:
        value: an Arrow IPC stream.
        rows: positions in it. If they are all there are, the message is returned as it is.

    Raises:
        InvalidEventError: it is no Arrow stream, a broken one, or one without these rows.
    """
    try:
        _refuse_too_large(value)
        with pa.ipc.open_stream(pa.py_buffer(value)) as reader:
            table = reader.read_all()
        table.validate(full=True)
    except UNREADABLE as error:
        raise InvalidEventError("decode", f"The Arrow stream does not read: {error}.") from error
    for row in rows:
        if not 0 <= row < table.num_rows:
            raise InvalidEventError("decode", f"The Arrow stream has {table.num_rows} rows; there is no row {row}.")
    wanted = np.zeros(table.num_rows, dtype=np.bool_)
    wanted[list(rows)] = True
    if wanted.all():
        return value
    chosen = table.filter(pa.array(wanted))
    plain = _stream(chosen, compression=None)
    # What came compressed may not fit the topic otherwise.
    return plain if len(plain) <= len(value) else _stream(chosen, compression="zstd")


def _refuse_too_large(value: bytes) -> None:
    size = stream_size(value)
    if max(size.num_rows, size.num_values) > MAX_ROWS or size.num_bytes > MAX_BYTES:
        raise ValueError(f"it claims {size.num_rows} rows and {size.num_bytes} bytes, more than a message may hold")


def _stream(table: pa.Table, *, compression: str | None) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema, options=pa.ipc.IpcWriteOptions(compression=compression)) as writer:
        writer.write(table)
    content: bytes = sink.getvalue().to_pybytes()
    return content
