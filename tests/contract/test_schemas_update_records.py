"""The schemas of the update topic (model-updated, model-delta, version-recorded, trainer-claim) and the codec agree."""

import json
from dataclasses import replace
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

import update_records
from json_schemas import schema, validator
from penstock.errors import InvalidEventError
from penstock.flow import Claim, Delta, ModelUpdate, Offsets, Recorded
from penstock.wire.instant import RFC3339
from penstock.wire.model_update import decode_record, encode_record
from penstock.wire.update_documents import (
    LARGEST,
    BaseDocument,
    ClaimDocument,
    ModelDeltaDocument,
    ModelUpdatedDocument,
    RecordedDocument,
)

UPDATED, CLAIMED = validator("model-updated"), validator("trainer-claim")
DELTA, RECORDED = validator("model-delta"), validator("version-recorded")
SUFFIXES = ("#claim", "#delta", "#recorded")

digests = st.text("0123456789abcdef", min_size=64, max_size=64)
positive = st.integers(1, LARGEST)
instants_ms = st.integers(0, 4_102_444_800_000)
names = st.text(st.characters(codec="utf-8"), min_size=1, max_size=9).filter(lambda name: not name.endswith(SUFFIXES))
weights = st.one_of(
    st.fixed_dictionaries({"inline": st.binary(max_size=64)}),
    st.fixed_dictionaries({"uri": st.text(min_size=1, max_size=9)}),
)
deltas = st.builds(
    Delta,
    content=st.binary(max_size=64),
    base_version=positive,
    base_sha256=digests,
    base_size_bytes=st.integers(0, LARGEST),
    base_uri=st.text(min_size=1, max_size=9),
)
recorded = st.builds(
    Recorded,
    model=names,
    version=positive,
    epoch=positive,
    sha256=digests,
    mlflow_version=st.text(min_size=1, max_size=5),
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


@settings(deadline=None)
@given(updates(), deltas)
def test_a_delta_encodes_to_a_valid_document_and_decodes_back(update: ModelUpdate, delta: Delta) -> None:
    update = replace(update, inline=None, uri=None, delta=delta)
    key, value = encode_record(update, update.model)
    assert key.decode() == f"{update.model}#delta"
    assert value is not None
    DELTA.validate(json.loads(value))
    assert decode_record(key, value) == update


@settings(deadline=None)
@given(recorded)
def test_what_is_recorded_encodes_to_a_valid_document_and_decodes_back(record: Recorded) -> None:
    key, value = encode_record(record, record.model)
    assert value is not None
    RECORDED.validate(json.loads(value))
    assert decode_record(key, value) == record


def test_a_reader_that_knows_whole_updates_only_finds_none_under_another_key() -> None:
    """What the codec did before there were deltas: the key must be the model's name, else the record is passed over."""
    update = update_records.delta_of("m", version=2)
    for record in (update, update_records.recorded_of("m", version=2)):
        key, value = encode_record(record, "m")
        assert key != b"m"
        assert refuses(b"m", json.loads(value or b""))


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
            {"version": 1, "sha256": "a" * 64, "size_bytes": 0, "uri": ""}, {"version": 1, "sha256": "a" * 64},
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


@settings(max_examples=300, deadline=None)
@given(
    updates(), deltas, st.dictionaries(st.sampled_from(list(schema("model-delta")["properties"])), nonsense, max_size=2)
)
def test_a_delta_that_the_schema_refuses_is_refused(update: ModelUpdate, delta: Delta, changed: dict[str, Any]) -> None:
    _, value = encode_record(replace(update, inline=None, uri=None, delta=delta), update.model)
    document = json.loads(value or b"") | changed
    if not DELTA.is_valid(document):
        assert refuses(f"{document['model']}#delta".encode(), document)


@settings(max_examples=300, deadline=None)
@given(recorded, st.dictionaries(st.sampled_from(list(schema("version-recorded")["properties"])), nonsense, max_size=2))
def test_a_record_that_the_schema_refuses_is_refused(record: Recorded, changed: dict[str, Any]) -> None:
    document = json.loads(encode_record(record, record.model)[1] or b"") | changed
    if not RECORDED.is_valid(document):
        assert refuses(f"{document['model']}#recorded".encode(), document)


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
    described = (
        (schema("model-updated"), ModelUpdatedDocument),
        (schema("model-delta"), ModelDeltaDocument),
        (schema("model-delta")["properties"]["base"], BaseDocument),
        (schema("version-recorded"), RecordedDocument),
        (schema("trainer-claim"), ClaimDocument),
    )
    for description, kind in described:
        fields = msgspec.structs.fields(kind)
        assert set(description["properties"]) == {field.encode_name for field in fields}
        assert set(description["required"]) == {field.encode_name for field in fields if field.required}
    for name in ("model-updated", "model-delta"):
        assert schema(name)["$defs"]["instant"]["pattern"] == RFC3339


def refuses(key: bytes, document: Any) -> bool:
    try:
        decode_record(key, json.dumps(document).encode())
    except InvalidEventError:
        return True
    return False
