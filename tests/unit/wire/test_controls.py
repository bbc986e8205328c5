"""Control events and retractions are found among the events of a batch, each at its place."""

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kafka_messages import KafkaMessage
from penstock.features import Feature, FeatureSchema
from penstock.flow import ClassRequest, EventPlace, ImportRequest, RetractionRequest
from penstock.wire.control import CONTROL_TYPE, encode_control
from penstock.wire.decoder import Decoded, EventDecoder
from penstock.wire.event_writer import arrow_message, json_event

SCHEMA = FeatureSchema(features=(Feature(name="n", kind="number"),))
SLEEP = ClassRequest(verb="hibernate", classes=("a", "b"))


def event(label: str, **fields: object) -> bytes:
    return json_event(event_id="e", features={"n": 1}, label=label, **fields)  # type: ignore[arg-type]  # as named


def control(value: bytes, content_type: str = CONTROL_TYPE) -> KafkaMessage:
    return KafkaMessage(value, with_headers=[("Content-Type", content_type.encode())])


def decode(*messages: KafkaMessage | bytes, columnar: bool = False) -> Decoded:
    placed = [
        KafkaMessage(message, at_offset=at)
        if isinstance(message, bytes)
        else KafkaMessage(message.opaque_value, at_offset=at, with_headers=message.with_headers)
        for at, message in enumerate(messages)
    ]
    return EventDecoder(SCHEMA, columnar_from_bytes=0 if columnar else 10**9).decode(placed)


@pytest.mark.parametrize("columnar", [False, True])
def test_a_control_event_stands_behind_the_events_before_it(columnar: bool) -> None:
    decoded = decode(event("a"), b"junk", event("b"), control(encode_control(SLEEP)), event("c"), columnar=columnar)
    assert decoded.events.column("label").to_pylist() == ["a", "b", "c"]
    (placed,) = decoded.controls
    assert (placed.at, placed.partition, placed.offset, placed.request) == (2, 0, 3, SLEEP)
    assert decoded.accepted.tolist() == [True, False, True, True, True]
    assert [refused.index for refused in decoded.invalid] == [1]


@pytest.mark.parametrize("spelling", [f" {CONTROL_TYPE.upper()} ; charset=utf-8", CONTROL_TYPE])
@pytest.mark.parametrize("space", [b"", b"\n "])
def test_the_content_type_is_read_as_http_reads_it(spelling: str, space: bytes) -> None:
    assert decode(control(space + encode_control(SLEEP), spelling)).controls[0].request == SLEEP


def test_without_the_content_type_of_controls_it_is_a_bad_event_and_nothing_happens() -> None:
    decoded = decode(encode_control(SLEEP), control(encode_control(SLEEP), "application/json"))
    assert decoded.controls == ()
    assert [refused.reason for refused in decoded.invalid] == ["event_id", "event_id"]


@pytest.mark.parametrize("value", [b"", b"[]", b"{}", b'{"control": "hibernate"}', b"\xff\xff\xff\xff"])
def test_a_malformed_control_is_refused_and_its_neighbours_are_not(value: bytes) -> None:
    decoded = decode(event("a"), control(value), event("b"))
    assert decoded.controls == ()
    assert decoded.events.num_rows == 2
    (refused,) = decoded.invalid
    assert (refused.index, refused.num_events) == (1, 1)
    assert refused.reason == ("decode" if not value else "control")
    assert decoded.accepted.tolist() == [True, False, True]


def test_an_import_carries_its_packet_as_bytes() -> None:
    request = ImportRequest(packet=b"\x00packet", name="new")
    assert decode(control(encode_control(request))).controls[0].request == request


def test_a_retraction_is_not_among_the_events_to_learn() -> None:
    place = EventPlace(topic="digits.labels", partition=2, offset=7, row=1)
    decoded = decode(event("a"), event("b", retracts=place, weight=3.0), event("c"), event("d", retracts="e-1"))
    assert decoded.events.column("label").to_pylist() == ["a", "c"]
    first, second = decoded.controls
    assert isinstance(first.request, RetractionRequest)
    assert isinstance(second.request, RetractionRequest)
    assert (first.at, first.offset, first.request.of) == (1, 1, place)
    assert (second.at, second.offset, second.request.of) == (2, 3, "e-1")
    assert first.request.event.to_pylist()[0] | {"timestamp_ms": 0} == {
        "features.n": 1.0,
        "label": "b",
        "weight": 3.0,
        "partition": 0,
        "offset": 1,
        "row": 0,
        "timestamp_ms": 0,
    }


@pytest.mark.parametrize(
    ("retracts", "sentence"),
    [
        (b'""', "retracts is empty"),
        (b"7", "retracts is an integer; it must be a string or an object."),
        (b"{}", "retracts.topic is missing"),
        (b'{"topic": "t", "offset": 1}', "retracts.partition is missing"),
        (b'{"topic": "t", "partition": -1, "offset": 1}', "retracts.partition is -1"),
        (b'{"topic": "t", "partition": 0, "offset": "1"}', "retracts.offset is a string; it must be an integer."),
    ],
)
def test_a_retraction_that_names_no_event_is_refused_by_the_field(retracts: bytes, sentence: str) -> None:
    decoded = decode(b'{"event_id": "r", "label": "a", "features": {"n": 1}, "retracts": %b}' % retracts)
    assert decoded.controls == ()
    (refused,) = decoded.invalid
    assert refused.reason == "retracts"
    assert refused.sentence.startswith(sentence)


def arrow(**columns: object) -> bytes:
    return arrow_message(pa.table({"event_id": ["1", "2", "3"], "label": ["a", "b", "c"], "n": [1, 2, 3], **columns}))


def test_rows_of_an_arrow_message_retract_by_event_id_or_by_place() -> None:
    place = {"topic": "digits.labels", "partition": 0, "offset": 4}
    by_id, by_place = arrow(retracts=[None, "e", None]), arrow(retracts=[place, None, place | {"offset": 5}])
    decoded = decode(event("z"), by_id, by_place)
    assert decoded.events.column("label").to_pylist() == ["z", "a", "c", "b"]
    assert [(each.at, each.offset, each.row) for each in decoded.controls] == [(2, 1, 1), (3, 2, 0), (4, 2, 2)]
    targets = [each.request.of for each in decoded.controls if isinstance(each.request, RetractionRequest)]
    assert targets == [
        "e",
        EventPlace(topic="digits.labels", partition=0, offset=4),
        EventPlace(topic="digits.labels", partition=0, offset=5),
    ]


def test_a_row_of_an_arrow_message_that_retracts_nothing_nameable_is_refused_alone() -> None:
    (refused,) = decode(arrow(retracts=["", None, "e"])).invalid
    assert (refused.reason, refused.rows) == ("retracts", (0,))
    whole = decode(arrow(retracts=[1, 2, 3]))
    assert whole.invalid[0].sentence.startswith("Column retracts has type int64; it must be of strings or of structs")
    assert decode(arrow(retracts=[{"topic": 1}] * 3)).invalid[0].rows is None
    assert decode(arrow(retracts=[{"partition": 1.5}] * 3)).invalid[0].rows is None


def test_tenants_stand_beside_the_events_where_any_has_one() -> None:
    assert "tenant" not in decode(event("a")).events.schema.names
    decoded = decode(event("a"), event("b", tenant="t"), arrow(), arrow(tenant=["u", None, "t"]))
    assert decoded.events.column("tenant").to_pylist() == [None, "t", None, None, None, "u", None, "t"]


pieces = st.lists(st.sampled_from(["event", "control", "retraction", "junk", "arrow"]), max_size=12)


@settings(max_examples=200, deadline=None)
@given(pieces, st.booleans())
def test_events_and_controls_keep_the_order_of_the_log(kinds: list[str], columnar: bool) -> None:
    made: dict[str, KafkaMessage | bytes] = {
        "event": event("a"),
        "control": control(encode_control(SLEEP)),
        "retraction": event("a", retracts="e"),
        "junk": b"{",
        "arrow": arrow(retracts=[None, "e", None]),
    }
    decoded = decode(*[made[kind] for kind in kinds], columnar=columnar)
    expected = [
        (offset, row, kind)
        for offset, name in enumerate(kinds)
        for row, kind in enumerate(["event", "control", "event"] if name == "arrow" else [name])
        if kind != "junk"
    ]
    found = [
        (offset, row, "event")
        for offset, row in zip(
            decoded.events.column("offset").to_pylist(), decoded.events.column("row").to_pylist(), strict=True
        )
    ]
    for number, each in enumerate(decoded.controls):
        found.insert(each.at + number, (each.offset, each.row, "control"))
    assert found == [(offset, row, kind.replace("retraction", "control")) for offset, row, kind in expected]
