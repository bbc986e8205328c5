"""What becomes of Arrow messages: every event by itself, whichever types a producer writes."""

import struct
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kafka_messages import KafkaMessage, messages_of
from penstock.features import Feature, FeatureSchema
from penstock.wire.arrow_events import MAX_ROWS
from penstock.wire.arrow_stream import stream_size
from penstock.wire.columns import batch_schema
from penstock.wire.decoder import EventDecoder
from penstock.wire.event_writer import arrow_message, json_event

SCHEMA = FeatureSchema(
    features=(
        Feature(name="pixels", kind="vector", width=2),
        Feature(name="amount", kind="number"),
        Feature(name="country", kind="category"),
    )
)
DECODER = EventDecoder(SCHEMA)


def columns(**changed: Any) -> dict[str, Any]:
    """Three valid events, flat, with columns changed; None takes a column away."""
    given: dict[str, Any] = {
        "event_id": ["a", "b", "c"],
        "label": ["x", "y", "x"],
        "pixels": pa.array([[1, 2], [3, 4], [5, 6]], pa.list_(pa.float32())),
        "amount": [1.0, 2.0, 3.0],
        "country": ["ES", "FR", "ES"],
    }
    return {name: value for name, value in (given | changed).items() if value is not None}


def stream(table: pa.Table, **options: Any) -> bytes:
    """The table as it is, without any shaping."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema, options=pa.ipc.IpcWriteOptions(**options)) as writer:
        writer.write(table)
    content: bytes = sink.getvalue().to_pybytes()
    return content


def flat(**changed: Any) -> bytes:
    return stream(pa.table(columns(**changed)))


def refusal(value: bytes) -> tuple[str, str]:
    """Reason and sentence of a message that is refused whole, between two that are not."""
    decoded = DECODER.decode(messages_of(flat(), value, flat()))
    assert decoded.events.column("offset").to_pylist() == [0, 0, 0, 2, 2, 2]
    (invalid,) = decoded.invalid
    assert invalid.index == 1
    assert invalid.rows is None
    return invalid.reason, invalid.sentence


@pytest.mark.parametrize("shape", [flat(), arrow_message(pa.table(columns()))], ids=["flat", "struct"])
def test_every_event_of_a_stream_becomes_a_row_with_its_position(shape: bytes) -> None:
    decoded = DECODER.decode([KafkaMessage(shape, at_offset=9, at_partition=2, timestamp_ms=77)])
    assert decoded.events.schema.equals(batch_schema(SCHEMA))
    decoded.events.validate(full=True)
    assert decoded.events.to_pydict() == {
        "features.pixels": [[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]],
        "features.amount": [1.0, 2.0, 3.0],
        "features.country": ["ES", "FR", "ES"],
        "label": ["x", "y", "x"],
        "weight": [1.0, 1.0, 1.0],
        "partition": [2, 2, 2],
        "offset": [9, 9, 9],
        "row": [0, 1, 2],
        "timestamp_ms": [77, 77, 77],
    }


@pytest.mark.parametrize(
    "pixels",
    [
        pa.array([[1, 2], [3, 4], [5, 6]], kind)
        for kind in (
            pa.list_(pa.float32(), 2),
            pa.list_(pa.float64()),
            pa.large_list(pa.float32()),
            pa.large_list(pa.int64()),
            pa.list_(pa.int8(), 2),
            pa.list_(pa.uint16()),
        )
    ]
    + [
        pa.FixedSizeListArray.from_arrays(pa.array(np.arange(1, 7, dtype=np.float16)), 2),
        pa.FixedShapeTensorArray.from_numpy_ndarray(np.arange(1, 7, dtype=np.float32).reshape(3, 2)),
        pa.array([[0, 0], [1, 2], [3, 4], [5, 6]], pa.list_(pa.float32(), 2)).slice(1),
        pa.array([[0], [1, 2], [3, 4], [5, 6]], pa.list_(pa.float32())).slice(1),
    ],
    ids=lambda pixels: str(pixels.type),
)
def test_vectors_of_any_list_and_number_type_are_read(pixels: Any) -> None:
    decoded = DECODER.decode(messages_of(flat(pixels=pixels)))
    assert decoded.events.column("features.pixels").to_pylist() == [[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]


@pytest.mark.parametrize("kind", [pa.int8(), pa.uint64(), pa.float16(), pa.float32(), pa.int64()])
def test_numbers_of_any_width_are_read(kind: Any) -> None:
    decoded = DECODER.decode(messages_of(flat(amount=pa.array(np.array([1, 2, 3], dtype=kind.to_pandas_dtype())))))
    assert decoded.events.column("features.amount").to_pylist() == [1.0, 2.0, 3.0]


@pytest.mark.parametrize(
    ("label", "text"),
    [
        (pa.array([True, False, True]), ["true", "false", "true"]),
        (pa.array([1, -2, 3], pa.int8()), ["1", "-2", "3"]),
        (pa.array([2**64 - 1, 0, 1], pa.uint64()), ["18446744073709551615", "0", "1"]),
        (pa.array(["x", "y", "x"]).dictionary_encode(), ["x", "y", "x"]),
        (pa.array([7, 8, 7]).dictionary_encode(), ["7", "8", "7"]),
        (pa.array(["x", "y", "x"], pa.large_string()), ["x", "y", "x"]),
    ],
)
def test_labels_of_any_type_become_their_text(label: Any, text: list[str]) -> None:
    assert DECODER.decode(messages_of(flat(label=label))).events.column("label").to_pylist() == text


def test_several_batches_with_dictionaries_of_their_own_are_one_message() -> None:
    tables = [pa.table(columns(label=pa.array(labels).dictionary_encode())) for labels in (["p", "q", "p"], ["r"] * 3)]
    decoded = DECODER.decode(messages_of(stream(pa.concat_tables(tables))))
    assert decoded.events.column("label").to_pylist() == ["p", "q", "p", "r", "r", "r"]
    assert decoded.events.column("row").to_pylist() == [0, 1, 2, 3, 4, 5]


@pytest.mark.parametrize(
    ("changed", "rows", "reason", "sentence"),
    [
        ({"event_id": ["a", None, ""]}, (1, 2), "event_id", "Row 1: event_id is missing or null"),
        ({"label": ["x", "", None]}, (1, 2), "label", "Row 1: label is empty"),
        (
            {"label": ["x", "ñ" * 257, "x"]},
            (1,),
            "label",
            "Row 1: label has 257 characters; it must have 1 to 256 characters.",
        ),
        ({"weight": [-0.5, 1.0, None]}, (0,), "weight", "Row 0: weight is -0.5; it must be finite and above 0."),
        ({"weight": [1.0, float("inf"), None]}, (1,), "weight", "Row 1: weight is inf; it must be finite and above 0."),
        ({"weight": [1.0, 0.0, None]}, (1,), "weight", "Row 1: weight is 0.0; it must be finite and above 0."),
        ({"amount": [1.0, float("nan"), None]}, (1, 2), "field", "Row 1: features.amount is nan"),
        ({"amount": [1.0, float("-inf"), float("inf")]}, (1, 2), "field", "Row 1: features.amount is -inf; it must"),
        ({"pixels": [[1, 2], [1], [1, 2, 3]]}, (1, 2), "field", "Row 1: features.pixels holds 1 number; the model"),
        ({"pixels": [[1, 2], None, [1, None]]}, (1, 2), "field", "Row 1: features.pixels is missing or null"),
        ({"pixels": [[1, 2], [1, 2], [float("nan"), 2]]}, (2,), "field", "Row 2: features.pixels[0] is null or NaN"),
        ({"pixels": [[1.0, 1e300], [1, 2], [1, 2]]}, (0,), "field", "Row 0: features.pixels[1] is inf"),
        ({"country": None}, (0, 1, 2), "field", "Row 0: features.country is missing or null"),
        ({"country": pa.nulls(3)}, (0, 1, 2), "field", "Row 0: features.country is missing or null"),
        ({"label": None}, (0, 1, 2), "label", "Row 0: label is missing or null"),
        ({"occurred_at": ["2026-01-01T00:00:00Z", "x", None]}, (1,), "occurred_at", "Row 1: occurred_at is 'x'"),
    ],
)
def test_an_invalid_row_loses_only_itself(
    changed: dict[str, Any], rows: tuple[int, ...], reason: str, sentence: str
) -> None:
    decoded = DECODER.decode(messages_of(flat(**changed)))
    (invalid,) = decoded.invalid
    assert (invalid.rows, invalid.num_events, invalid.reason) == (rows, len(rows), reason)
    assert invalid.sentence.startswith(sentence)
    kept = [row for row in range(3) if row not in rows]
    assert decoded.events.column("row").to_pylist() == kept
    assert decoded.accepted.tolist() == [row in kept for row in range(3)]
    assert decoded.events.column("label").to_pylist() == [["x", "y", "x"][row] for row in kept]


@pytest.mark.parametrize(
    ("value", "reason", "sentence"),
    [
        (flat(amount=["1", "2", "3"]), "field", "Column features.amount has type string; it must be of integers or"),
        (flat(amount=[True, False, True]), "field", "Column features.amount has type bool"),
        (flat(pixels=["1", "2", "3"]), "field", "Column features.pixels has type string; it must be of lists"),
        (flat(pixels=pa.array([[None] * 2] * 3, pa.list_(pa.null()))), "field", "Column features.pixels has type list"),
        (flat(country=[1, 2, 3]), "field", "Column features.country has type int64; it must be of strings"),
        (flat(label=[1.0, 2.0, 3.0]), "label", "Column label has type double; it must be of strings, booleans or"),
        (flat(weight=["1", "2", "3"]), "weight", "Column weight has type string"),
        (flat(occurred_at=[1, 2, 3]), "occurred_at", "Column occurred_at has type int64"),
        (flat(tenant=[1, 2, 3]), "tenant", "Column tenant has type int64"),
        (flat()[:-40], "decode", "The value is not an Arrow IPC stream: the stream is cut short."),
        (flat()[:20], "decode", "The value is not an Arrow IPC stream"),
        (b"\xff\xff\xff\xff", "decode", "The value is not an Arrow IPC stream"),
        (b"\xff\xff\xff\xff" + b"\x10\0\0\0" + b"\xff" * 64, "decode", "The value is not an Arrow IPC stream"),
    ],
)
def test_a_message_that_cannot_be_read_is_refused_whole(value: bytes, reason: str, sentence: str) -> None:
    said = refusal(value)
    assert said[0] == reason
    assert said[1].startswith(sentence)


def test_a_label_column_never_becomes_a_feature() -> None:
    decoder = EventDecoder(FeatureSchema(features=(Feature(name="label", kind="category"),)))
    nested = arrow_message(pa.table({"event_id": ["a"], "label": ["L"], "features": [{"label": "F"}]}))
    leak = stream(pa.table({"event_id": ["a"], "label": ["L"]}))
    decoded = decoder.decode(messages_of(nested, leak))
    assert decoded.events.select(["features.label", "label"]).to_pylist() == [{"features.label": "F", "label": "L"}]
    assert decoded.invalid[0].sentence.startswith("Row 0: features.label is missing or null")


def test_timestamps_may_say_when_it_occurred() -> None:
    decoded = DECODER.decode(messages_of(flat(occurred_at=pa.array([1, 2, 3], pa.timestamp("ms", "UTC")))))
    assert decoded.events.num_rows == 3


def test_json_and_arrow_in_one_batch_stand_in_message_order() -> None:
    one = json_event(event_id="j", features={"pixels": [1, 2], "amount": 1, "country": "ES"}, label="json")
    poisoned = flat(event_id=["a", None, "c"], label=["p", "q", "r"])
    decoded = DECODER.decode(messages_of(one, flat(), b"junk", one, poisoned, flat()[:-40], one))
    assert decoded.events.column("label").to_pylist() == ["json", "x", "y", "x", "json", "p", "r", "json"]
    assert decoded.events.column("offset").to_pylist() == [0, 1, 1, 1, 3, 4, 4, 6]
    assert decoded.events.column("row").to_pylist() == [0, 0, 1, 2, 0, 0, 2, 0]
    assert [refused.index for refused in decoded.invalid] == [2, 4, 5]
    assert "".join("+" if accepted else "-" for accepted in decoded.accepted) == "++++-++-+-+"


def test_a_stream_without_events_is_neither_learnt_nor_invalid() -> None:
    decoded = DECODER.decode(messages_of(stream(pa.table(columns()).slice(0, 0)), flat()))
    assert decoded.events.num_rows == 3
    assert decoded.invalid == ()
    assert decoded.accepted.tolist() == [True] * 3


@pytest.mark.parametrize("codec", ["lz4", "zstd"])
def test_compressed_streams_are_read(codec: str) -> None:
    decoded = DECODER.decode(messages_of(stream(pa.table(columns()), compression=codec)))
    assert decoded.events.num_rows == 3


def test_a_stream_that_would_decompress_to_too_much_is_refused_before_it_does() -> None:
    table = pa.table(columns(extra=pa.array(["z" * 10_000] * 3)))
    value = bytearray(stream(table, compression="zstd"))
    zstd_frame = b"\x28\xb5\x2f\xfd"
    at = value.index(struct.pack("<q", 30_000) + zstd_frame)
    value[at : at + 8] = struct.pack("<q", 2**60)
    reason, sentence = refusal(bytes(value))
    assert reason == "size"
    assert "bytes once decompressed; a message may hold 268435456." in sentence


def test_more_events_than_a_message_may_hold_are_refused_by_the_metadata_alone() -> None:
    value = stream(pa.table({"event_id": pa.nulls(MAX_ROWS + 1)}))
    assert len(value) < 2000
    reason, sentence = refusal(value)
    assert reason == "size"
    assert sentence == "The Arrow stream holds 1000001 rows; a message may hold 1000000."
    assert DECODER.count_events(KafkaMessage(value)) == 1


def test_a_dictionary_that_unfolds_to_too_much_text_is_refused() -> None:
    indices = pa.array(np.zeros(300_000, dtype=np.int8))
    table = pa.table({"country": pa.DictionaryArray.from_arrays(indices, pa.array(["z" * 1000]))})
    reason, sentence = refusal(stream(table))
    assert reason == "field"
    assert sentence.startswith("Column features.country unfolds to more than 268435456 bytes of text")


def test_events_are_counted_without_decoding() -> None:
    two_batches = stream(pa.concat_tables([pa.table(columns()), pa.table(columns())]))
    assert DECODER.count_events(KafkaMessage(two_batches)) == 6
    assert DECODER.count_events(KafkaMessage(b'{"event_id": "x"}')) == 1
    assert DECODER.count_events(KafkaMessage(two_batches[:50])) == 1
    assert DECODER.count_events(KafkaMessage(None)) == 1
    assert stream_size(stream(pa.table(columns()), compression="lz4")).num_rows == 3


VALID = stream(pa.table(columns(label=pa.array(["x", "y", "x"]).dictionary_encode())), compression="lz4")


@settings(max_examples=500, deadline=None)
@given(st.data())
def test_no_bytes_do_more_than_cost_their_own_message(data: st.DataObject) -> None:
    value = bytearray(VALID)
    for _ in range(data.draw(st.integers(1, 6))):
        value[data.draw(st.integers(0, len(value) - 1))] = data.draw(st.sampled_from([0, 1, 4, 16, 0x7F, 0x80, 0xFF]))
    cut = data.draw(st.one_of(st.just(len(value)), st.integers(4, len(value))))
    value[:4] = b"\xff\xff\xff\xff"
    decoded = DECODER.decode(messages_of(flat(), bytes(value[:cut]), flat()))
    offsets = decoded.events.column("offset").to_pylist()
    assert (offsets[:3], offsets[-3:]) == ([0, 0, 0], [2, 2, 2])
    decoded.events.validate(full=True)
    assert DECODER.count_events(KafkaMessage(bytes(value[:cut]))) >= 1
