"""Batches that are decoded together come out as each does by itself."""

import json
from collections.abc import Sequence
from itertools import count

import pyarrow as pa
import pytest

from kafka_messages import KafkaMessage
from penstock.features import Feature, FeatureSchema
from penstock.wire.control import CONTROL_TYPE
from penstock.wire.decoder import Decoded, EventDecoder
from penstock.wire.event_writer import arrow_message

SCHEMA = FeatureSchema(features=(Feature(name="v", kind="vector", width=2), Feature(name="n", kind="number")))


def event(label: object, **others: object) -> bytes:
    return json.dumps({"event_id": "e", "features": {"v": [1, 2.5], "n": 3}, "label": label, **others}).encode()


PLAIN = [event("a"), event("b"), event("c")]
POISON = [event("d"), b"{", event(""), event("e", features={"v": [1], "n": 1})]
TENANTS = [event("f", tenant="t"), event("g")]
ALL_INVALID = [b"", b"[]"]
ARROW = [arrow_message(pa.table({"event_id": ["x", "y"], "label": ["h", ""], "v": [[1.0, 2.0]] * 2, "n": [1.0, 2.0]}))]
CONTROL = [event("i"), b'{"verb": "retire", "classes": ["a"]}']
RETRACTION = [event("j"), event("k", retracts="e")]
LATE = [json.dumps({"event_id": "e", "label": "l", "prediction_id": "p"}).encode()]


def batches(*groups: Sequence[bytes]) -> list[list[KafkaMessage]]:
    offsets = count()
    return [
        [
            KafkaMessage(
                value,
                at_offset=next(offsets),
                with_headers=[("content-type", CONTROL_TYPE.encode())] if b"verb" in value else [],
            )
            for value in group
        ]
        for group in groups
    ]


def alike(decoded: Decoded) -> tuple[object, ...]:
    events = decoded.events
    return (
        events.schema,
        events.to_pylist(),
        decoded.invalid,
        decoded.accepted.tolist(),
        [(control.offset, control.at) for control in decoded.controls],
        decoded.late,
    )


@pytest.mark.parametrize(
    "groups",
    [
        (PLAIN, PLAIN),
        (PLAIN, POISON, PLAIN),
        (TENANTS, PLAIN, POISON),
        (PLAIN, ALL_INVALID, PLAIN),
        (POISON, ARROW, PLAIN),
        (PLAIN, CONTROL, TENANTS),
        (RETRACTION, PLAIN),
        (PLAIN, LATE),
    ],
)
def test_each_comes_out_as_it_does_by_itself(groups: Sequence[Sequence[bytes]]) -> None:
    decoder, together = EventDecoder(SCHEMA), batches(*groups)
    assert [*map(alike, decoder.decode_together(together))] == [alike(decoder.decode(batch)) for batch in together]


def test_only_events_of_a_message_each_are_plain() -> None:
    decoder = EventDecoder(SCHEMA)
    plain = [decoder.decode(batch).is_plain for batch in batches(PLAIN, POISON, TENANTS, ARROW, CONTROL, LATE)]
    assert plain == [True, True, True, False, False, False]
