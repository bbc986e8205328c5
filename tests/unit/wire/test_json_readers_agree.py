"""What the columnar reader accepts, the typed reader accepts with the same values, and neighbours never matter."""

import json
from collections.abc import Sequence
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from kafka_messages import messages_of
from penstock.features import Feature, FeatureSchema
from penstock.flow import Control, RetractionRequest
from penstock.wire.decoder import EventDecoder

SCHEMA = FeatureSchema(
    features=(
        Feature(name="v", kind="vector", width=2),
        Feature(name="n", kind="number"),
        Feature(name="t", kind="text"),
    )
)
COLUMNAR = EventDecoder(SCHEMA, columnar_from_bytes=0)
TYPED = EventDecoder(SCHEMA, columnar_from_bytes=10**9)

numbers = st.one_of(st.integers(-(10**25), 10**25), st.floats(), st.sampled_from([0, 1, -1, 1e38, 1e39, 2**53 + 1]))
anything: st.SearchStrategy[Any] = st.recursive(
    st.one_of(st.none(), st.booleans(), numbers, st.text(max_size=6)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=3), inner, max_size=3)),
    max_leaves=5,
)


def mostly(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Nine in ten from the strategy, so that whole events are often valid."""
    return st.integers(0, 9).flatmap(lambda die: anything if die == 0 else strategy)


features = st.fixed_dictionaries(
    {"v": mostly(st.lists(numbers, min_size=2, max_size=2)), "n": mostly(numbers), "t": mostly(st.text(max_size=5))}
)
labels = st.one_of(
    st.text(min_size=1, max_size=5), st.booleans(), st.integers(), st.sampled_from(["2026-01-01", "x" * 256])
)
places = st.fixed_dictionaries(
    {"topic": mostly(st.text(max_size=3)), "partition": mostly(st.integers(0, 3)), "offset": mostly(st.integers(0, 9))},
    optional={"row": mostly(st.integers(0, 3)), "other": anything},
)
documents = st.fixed_dictionaries(
    {"event_id": mostly(st.text(min_size=1, max_size=4)), "features": mostly(features), "label": mostly(labels)},
    optional={
        "weight": mostly(st.floats(min_value=0.1, max_value=9)),
        "occurred_at": mostly(st.sampled_from(["2026-01-01T00:00:00Z", "2026-01-01 10:00:00.5+02:00", "2026", ""])),
        "tenant": mostly(st.text(max_size=3)),
        "retracts": st.one_of(st.none(), st.none(), mostly(st.one_of(st.text(max_size=3), places))),
        "other": anything,
    },
)


@st.composite
def values(draw: st.DrawFn) -> bytes:
    """Events as bytes: usually whole, sometimes cut, joined, or with bytes put in."""
    text = json.dumps(draw(documents), ensure_ascii=draw(st.booleans()), indent=draw(st.sampled_from([None, None, 1])))
    value = text.encode("utf-8", "surrogatepass")
    match draw(st.integers(0, 9)):
        case 0:
            return value[: draw(st.integers(0, len(value)))]
        case 1:
            at = draw(st.integers(0, len(value)))
            put = draw(
                st.one_of(st.binary(max_size=3), st.sampled_from([b"}", b"{", b"}\n{", b'"', b"\n", b",", b"NaN"]))
            )
            return value[:at] + put + value[at:]
        case 2:
            return value + draw(st.sampled_from([b"", b"\n", b" ", b"}", b',"e":'])) + value
        case _:
            return value


def outcome(decoder: EventDecoder, value: bytes) -> list[dict[str, Any]]:
    decoded = decoder.decode(messages_of(value))
    return alike(decoded.events.to_pylist()) + retracted(decoded.controls)


def retracted(controls: Sequence[Control]) -> list[dict[str, Any]]:
    requests = [control.request for control in controls]
    retractions = [request for request in requests if isinstance(request, RetractionRequest)]
    assert len(retractions) == len(requests)
    return [row | {"of": request.of} for request in retractions for row in alike(request.event.to_pylist())]


def alike(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{"tenant": None} | {name: value for name, value in row.items() if name != "offset"} for row in rows]


@settings(max_examples=400, deadline=None)
@given(values())
def test_both_readers_accept_the_same_events_with_the_same_values(value: bytes) -> None:
    assert outcome(COLUMNAR, value) == outcome(TYPED, value)


@settings(max_examples=200, deadline=None)
@given(st.lists(values(), min_size=1, max_size=8))
def test_what_becomes_of_an_event_does_not_depend_on_its_neighbours(batch: list[bytes]) -> None:
    decoded = COLUMNAR.decode(messages_of(*batch))
    alone = [outcome(TYPED, value) for value in batch]
    assert decoded.accepted.tolist() == [bool(rows) for rows in alone]
    learnt = [(at, row) for at, rows in enumerate(alone) for row in rows if "of" not in row]
    undone = [(at, row) for at, rows in enumerate(alone) for row in rows if "of" in row]
    assert alike(decoded.events.to_pylist()) == [row for _, row in learnt]
    assert decoded.events.column("offset").to_pylist() == [at for at, _ in learnt]
    assert retracted(decoded.controls) == [row for _, row in undone]
    assert [(control.offset, control.at) for control in decoded.controls] == [
        (at, sum(before < at for before, _ in learnt)) for at, _ in undone
    ]
    assert [refused.index for refused in decoded.invalid] == [at for at, rows in enumerate(alone) if not rows]
