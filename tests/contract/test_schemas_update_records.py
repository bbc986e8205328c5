"""`schemas/model-updated.schema.json` and `trainer-claim.schema.json` and the codec say the same."""

import json
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from json_schemas import schema, validator
from penstock.errors import InvalidEventError
from penstock.flow import Claim, ModelUpdate, Offsets
from penstock.wire.instant import RFC3339
from penstock.wire.model_update import LARGEST, ClaimDocument, ModelUpdatedDocument, decode_record, encode_record

UPDATED, CLAIMED = validator("model-updated"), validator("trainer-claim")

digests = st.text("0123456789abcdef", min_size=64, max_size=64)
positive = st.integers(1, LARGEST)
instants_ms = st.integers(0, 4_102_444_800_000)
names = st.text(st.characters(codec="utf-8"), min_size=1, max_size=9).filter(lambda name: not name.endswith("#claim"))
weights = st.one_of(
    st.fixed_dictionaries({"inline": st.binary(max_size=64)}),
    st.fixed_dictionaries({"uri": st.text(min_size=1, max_size=9)}),
)


@st.composite
def updates(draw: st.DrawFn) -> ModelUpdate:
    return ModelUpdate(
        model=draw(names),
        version=draw(positive),
        epoch=draw(positive),
        sha256=draw(digests),
        size_bytes=draw(st.integers(0, LARGEST)),
        class_ledger_digest=draw(digests),
        trained_until_ms=draw(instants_ms),
        announced_at_ms=draw(instants_ms),
        offsets=Offsets(next=draw(st.dictionaries(st.integers(0, 9999), st.integers(0, LARGEST), max_size=4))),
        metrics=draw(
            st.dictionaries(st.text(max_size=5), st.floats(allow_nan=False, allow_infinity=False), max_size=3)
        ),
        mlflow_run_id=draw(st.one_of(st.none(), st.text(max_size=5))),
        **draw(weights),
    )


@settings(deadline=None)
@given(updates())
def test_an_update_encodes_to_a_valid_document_and_decodes_back(update: ModelUpdate) -> None:
    key, value = encode_record(update, update.model)
    assert value is not None
    UPDATED.validate(json.loads(value))
    assert decode_record(key, value) == update


@settings(deadline=None)
@given(st.builds(Claim, epoch=positive, holder=st.text(max_size=20)), names)
def test_a_claim_encodes_to_a_valid_document_and_decodes_back(claim: Claim, model: str) -> None:
    key, value = encode_record(claim, model)
    assert value is not None
    CLAIMED.validate(json.loads(value))
    assert decode_record(key, value) == claim


nonsense = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-2, 2),
    st.integers(LARGEST - 1, LARGEST + 1),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=3),
    st.sampled_from(
        [
            "A" * 64, "a" * 63, "a" * 65, "2026-01-01T00:00:00Z", "2026-01-01", [], {}, {"inline": "AA=="},
            {"inline": "A"}, {"uri": "x"}, {"uri": ""}, {"uri": "x", "inline": "AA=="}, {"uri": "x", "inline": None},
            {"inline": "AA==", "uri": None}, {"0": 1}, {"00": 1}, {"-1": 1}, {"0": "1"}, {"a": 0.5}, {"a": None},
        ]
    ),
)  # fmt: skip


@settings(max_examples=500, deadline=None)
@given(updates(), st.dictionaries(st.sampled_from(list(schema("model-updated")["properties"])), nonsense, max_size=2))
def test_an_update_that_the_schema_refuses_is_refused(update: ModelUpdate, changed: dict[str, Any]) -> None:
    _, value = encode_record(update, update.model)
    document = json.loads(value or b"") | changed
    if not UPDATED.is_valid(document):
        assert refuses(str(document["model"]).encode(), document)


@given(st.sampled_from(schema("model-updated")["required"]), updates())
def test_an_update_that_lacks_a_required_field_is_refused(name: str, update: ModelUpdate) -> None:
    key, value = encode_record(update, update.model)
    document = json.loads(value or b"")
    del document[name]
    assert not UPDATED.is_valid(document)
    assert refuses(key, document)


@settings(deadline=None)
@given(st.fixed_dictionaries({}, optional={"epoch": nonsense, "holder": nonsense, "other": nonsense}))
def test_a_claim_that_the_schema_refuses_is_refused(document: dict[str, Any]) -> None:
    if not CLAIMED.is_valid(document):
        assert refuses(b"m#claim", document)


def test_the_schemas_describe_every_field_of_the_codec() -> None:
    for name, kind in (("model-updated", ModelUpdatedDocument), ("trainer-claim", ClaimDocument)):
        fields = msgspec.structs.fields(kind)
        assert set(schema(name)["properties"]) == {field.encode_name for field in fields}
        assert set(schema(name)["required"]) == {field.encode_name for field in fields if field.required}
    assert schema("model-updated")["$defs"]["instant"]["pattern"] == RFC3339


def refuses(key: bytes, document: Any) -> bool:
    try:
        decode_record(key, json.dumps(document).encode())
    except InvalidEventError:
        return True
    return False
