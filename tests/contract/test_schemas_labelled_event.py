"""`schemas/labelled-event.schema.json` and the codec say the same."""

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from json_schemas import schema, validator
from kafka_messages import messages_of
from penstock.features import Feature, FeatureSchema
from penstock.flow import EventPlace, RetractionRequest
from penstock.wire.decoder import EventDecoder
from penstock.wire.event_columns import FIELDS
from penstock.wire.event_writer import json_event
from penstock.wire.instant import RFC3339

VALIDATOR = validator("labelled-event")
DECODER = EventDecoder(FeatureSchema(features=(Feature(name="n", kind="number"),)))

instants = st.from_regex(RFC3339, fullmatch=True).filter(lambda text: not text.endswith("\n"))
nearly = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=3),
    st.sampled_from(["", "x" * 256, "x" * 257, "ñ" * 256, "2026-01-01T00:00:00Z", "2026-01-01", 0, -1, 0.5, {}, []]),
)
places = st.fixed_dictionaries(
    {"topic": nearly, "partition": st.one_of(st.just(0), nearly), "offset": st.one_of(st.just(2**63 - 1), nearly)},
    optional={"row": st.one_of(st.just(2**31), nearly), "other": nearly},
)
documents = st.fixed_dictionaries(
    {},
    optional={
        "event_id": st.one_of(st.just("e"), nearly),
        "features": st.one_of(st.just({"n": 1}), nearly),
        "label": st.one_of(st.just("x"), nearly),
        "occurred_at": nearly,
        "weight": nearly,
        "tenant": nearly,
        "retracts": st.one_of(nearly, places),
        "prediction_id": st.one_of(st.just("p"), nearly),
        "other": nearly,
    },
)


def accepts(document: Any) -> bool:
    return not DECODER.decode(messages_of(json.dumps(document).encode())).invalid


def may_be_joined(document: Any) -> bool:
    """It is a late label, and nothing is wrong with it but that no prediction was looked up."""
    decoded = DECODER.decode(messages_of(json.dumps(document).encode()))
    return bool(decoded.late) and [refused.reason for refused in decoded.invalid] == ["unmatched"]


def test_the_schema_describes_every_field_that_the_codec_reads() -> None:
    assert set(schema("labelled-event")["properties"]) == set(FIELDS)
    assert schema("labelled-event")["properties"]["occurred_at"]["pattern"] == RFC3339


@settings(deadline=None)
@given(
    event_id=st.text(min_size=1),
    number=st.floats(allow_nan=False, allow_infinity=False),
    label=st.one_of(st.text(min_size=1, max_size=256), st.booleans(), st.integers()),
    occurred_at=st.one_of(st.none(), instants),
    weight=st.one_of(st.none(), st.floats(min_value=0, exclude_min=True, allow_infinity=False)),
    tenant=st.one_of(st.none(), st.text()),
    retracts=st.one_of(
        st.none(),
        st.text(min_size=1),
        st.builds(
            EventPlace,
            topic=st.text(min_size=1),
            partition=st.integers(0, 2**31 - 1),
            offset=st.integers(0, 2**63 - 1),
            row=st.integers(0, 2**31 - 1),
        ),
    ),
    prediction_id=st.one_of(st.none(), st.text(min_size=1, max_size=256)),
)
def test_what_the_writer_writes_the_schema_and_the_decoder_accept(**event: Any) -> None:
    number = event.pop("number")
    value = json_event(features={"n": number}, **event)
    VALIDATOR.validate(json.loads(value))
    decoded = DECODER.decode(messages_of(value))
    assert decoded.invalid == ()
    rows = decoded.events
    if event["retracts"] is not None:
        assert rows.num_rows == 0
        (control,) = decoded.controls
        assert isinstance(control.request, RetractionRequest)
        assert control.request.of == event["retracts"]
        rows = control.request.event
    assert rows.column("features.n").to_pylist() == [number]
    label = event["label"]
    assert rows.column("label").to_pylist() == [str(label).lower() if isinstance(label, bool) else str(label)]
    assert rows.column("weight").to_pylist() == [event["weight"] or 1.0]
    assert ("tenant" in rows.schema.names) == (event["tenant"] is not None)
    if event["tenant"] is not None:
        assert rows.column("tenant").to_pylist() == [event["tenant"]]


@settings(max_examples=500, deadline=None)
@given(documents)
def test_what_the_schema_refuses_the_decoder_refuses(document: dict[str, Any]) -> None:
    if not VALIDATOR.is_valid(document):
        assert not accepts(document)


@settings(max_examples=500, deadline=None)
@given(documents)
def test_a_late_label_is_one_to_the_schema_and_to_the_decoder(document: dict[str, Any]) -> None:
    if document.get("features") is None:
        label = document.get("label")
        whole_float = isinstance(label, float) and label.is_integer()
        assert whole_float or VALIDATOR.is_valid(document) == may_be_joined(document)


@settings(max_examples=500, deadline=None)
@given(documents)
def test_what_the_schema_accepts_the_decoder_accepts_if_the_features_fit(document: dict[str, Any]) -> None:
    document["features"] = {"n": 1}
    place = document.get("retracts")
    integers = [document.get("label"), *(place.values() if isinstance(place, dict) else ())]
    whole_float = any(isinstance(value, float) and value.is_integer() for value in integers)
    if VALIDATOR.is_valid(document) and not whole_float:
        assert accepts(document)
