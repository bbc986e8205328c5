"""How the decoder knows what a message holds."""

import pyarrow as pa
import pytest

from kafka_messages import KafkaMessage
from penstock.clock import to_rfc3339
from penstock.features import Feature, FeatureSchema
from penstock.wire.decoder import EventDecoder
from penstock.wire.event_writer import arrow_message, json_event
from penstock.wire.message import Headers

DECODER = EventDecoder(FeatureSchema(features=(Feature(name="n", kind="number"),)))
JSON = json_event(event_id="e", features={"n": 1}, label="x")
ARROW = arrow_message(pa.table({"event_id": ["e"], "label": ["x"], "n": [1.0]}))


@pytest.mark.parametrize(
    ("value", "headers"),
    [
        (JSON, []),
        (b" \n" + JSON, []),
        (JSON, [("content-type", b"application/json")]),
        (JSON, [("content-type", b"application/json; charset=utf-8")]),
        (b"\t" + JSON, [("Content-Type", b"Application/JSON")]),
        (ARROW, []),
        (ARROW, [("trace", None), ("content-type", b"application/vnd.apache.arrow.stream")]),
        (ARROW, [("content-type", b"text/plain"), ("content-type", b"application/vnd.apache.arrow.stream")]),
    ],
)
def test_json_and_arrow_are_known_by_their_first_bytes_or_the_content_type(value: bytes, headers: Headers) -> None:
    decoded = DECODER.decode([KafkaMessage(value, with_headers=headers)])
    assert decoded.events.column("label").to_pylist() == ["x"]


@pytest.mark.parametrize("content_type", [b"application/avro", b"text/plain", b"", b"\xff"])
def test_another_content_type_is_refused_by_name(content_type: bytes) -> None:
    decoded = DECODER.decode([KafkaMessage(b"\x00\x00", with_headers=[("content-type", content_type)])])
    (invalid,) = decoded.invalid
    assert invalid.reason == "content_type"
    assert invalid.sentence == (
        f"content-type is {content_type.decode(errors='replace')!r}; "
        "it must be application/json, application/vnd.apache.arrow.stream or application/vnd.penstock.control+json."
    )


def test_a_tombstone_is_an_invalid_event() -> None:
    (invalid,) = DECODER.decode([KafkaMessage(None)]).invalid
    assert (invalid.reason, invalid.num_events) == ("decode", 1)


def test_a_broken_value_announced_as_arrow_is_refused_as_such() -> None:
    headers: Headers = [("content-type", b"application/vnd.apache.arrow.stream")]
    (invalid,) = DECODER.decode([KafkaMessage(b"ARROW1\0\0", with_headers=headers)]).invalid
    assert invalid.sentence.startswith("The value is not an Arrow IPC stream")


def test_headers_are_not_read_where_a_value_begins_with_a_brace() -> None:
    class Headless(KafkaMessage):
        def headers(self) -> Headers | None:
            raise AssertionError("headers were read")

    assert DECODER.decode([Headless(JSON)]).events.num_rows == 1


def test_a_timestamp_beyond_the_year_9999_counts_as_the_end_of_it() -> None:
    """A producer that takes microseconds for milliseconds is not worth a trainer."""
    decoded = DECODER.decode([KafkaMessage(JSON, timestamp_ms=2**62)])
    (timestamp_ms,) = decoded.events.column("timestamp_ms").to_pylist()
    assert to_rfc3339(timestamp_ms) == "9999-12-31T23:59:59.000Z"


def test_a_message_without_a_timestamp_counts_as_of_the_epoch() -> None:
    decoded = DECODER.decode([KafkaMessage(JSON, timestamp_ms=-1)])
    assert decoded.events.column("timestamp_ms").to_pylist() == [0]
