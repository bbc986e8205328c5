"""Some rows of an Arrow message become a message of their own, and nothing else about them changes."""

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.errors import InvalidEventError
from penstock.wire.arrow_rows import only_rows


def stream(*batches: pa.RecordBatch, compression: str | None = None) -> bytes:
    sink = pa.BufferOutputStream()
    options = pa.ipc.IpcWriteOptions(compression=compression)
    with pa.ipc.new_stream(sink, batches[0].schema, options=options) as writer:
        for batch in batches:
            writer.write_batch(batch)
    content: bytes = sink.getvalue().to_pybytes()
    return content


def read(value: bytes) -> pa.Table:
    with pa.ipc.open_stream(value) as reader:
        return reader.read_all()


def batch(first: int, count: int) -> pa.RecordBatch:
    """Rows with a struct, a list and a dictionary of the batch's own, and metadata on the schema."""
    numbers = range(first, first + count)
    columns = {
        "event_id": [f"e-{number}" for number in numbers],
        "features": [{"x": [float(number), None], "city": None if number % 3 else "Ulm"} for number in numbers],
        "label": pa.array([f"class-{number}" for number in numbers]).dictionary_encode(),
    }
    made = pa.RecordBatch.from_pydict(columns)
    return made.replace_schema_metadata({"sender": "till 7"})


@given(rows=st.sets(st.integers(0, 6), min_size=1))
def test_the_rows_come_out_as_they_were_in_their_order(rows: set[int]) -> None:
    value = stream(batch(0, 4), batch(4, 3))
    came, wanted = read(only_rows(value, sorted(rows))), [read(value).to_pylist()[row] for row in sorted(rows)]
    assert came.to_pylist() == wanted
    assert came.schema.equals(read(value).schema, check_metadata=True)


def test_a_message_of_which_all_rows_are_wanted_stays_byte_for_byte() -> None:
    value = stream(batch(0, 4), batch(4, 3), compression="lz4")
    assert only_rows(value, range(7)) == value


def test_what_came_compressed_does_not_come_out_many_times_larger() -> None:
    value = stream(pa.RecordBatch.from_pydict({"x": [1.0] * 100_000}), compression="zstd")
    half = only_rows(value, range(50_000))
    assert read(half).num_rows == 50_000
    assert len(half) <= len(value)


@pytest.mark.parametrize("value", [b"", b"not arrow", stream(batch(0, 4))[:-40], b"\xff" * 64])
def test_what_is_no_whole_stream_is_refused_with_a_sentence(value: bytes) -> None:
    with pytest.raises(InvalidEventError, match="Arrow stream"):
        only_rows(value, [0])


@pytest.mark.parametrize("row", [-1, 4])
def test_a_row_that_is_not_there_is_refused(row: int) -> None:
    with pytest.raises(InvalidEventError, match=f"has 4 rows; there is no row {row}"):
        only_rows(stream(batch(0, 4)), [0, row])
