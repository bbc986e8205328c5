"""What becomes of JSON events, valid and not, whichever reader takes them."""

import json

import numpy as np
import pytest

from kafka_messages import KafkaMessage, messages_of
from penstock.errors import ConfigurationError
from penstock.features import Feature, FeatureSchema
from penstock.wire.columns import batch_schema, feature_column
from penstock.wire.decoder import EventDecoder

SCHEMA = FeatureSchema(
    features=(
        Feature(name="pixels", kind="vector", width=3),
        Feature(name="amount", kind="number"),
        Feature(name="country", kind="category"),
        Feature(name="body", kind="text"),
    )
)
FEATURES: dict[str, object] = {"pixels": [0.5, 1, -2], "amount": 3, "country": "ES", "body": "¡hola!"}

COLUMNAR, TYPED = 0, 10**9


@pytest.fixture(params=[COLUMNAR, TYPED], ids=["columnar", "typed"])
def decoder(request: pytest.FixtureRequest) -> EventDecoder:
    return EventDecoder(SCHEMA, columnar_from_bytes=request.param)


def event(event_id: str = "e", label: object = "yes", **others: object) -> bytes:
    return json.dumps({"event_id": event_id, "features": FEATURES, "label": label, **others}).encode()


def with_features(**changed: object) -> bytes:
    return event(features={**FEATURES, **changed})


def refusal(decoder: EventDecoder, value: bytes) -> tuple[str, str]:
    """Reason and sentence of the one refused message between two good ones, which must survive it."""
    decoded = decoder.decode(messages_of(event(label="before"), value, event(label="after")))
    assert decoded.events.column("label").to_pylist() == ["before", "after"]
    assert decoded.events.column("offset").to_pylist() == [0, 2]
    assert decoded.accepted.tolist() == [True, False, True]
    (invalid,) = decoded.invalid
    assert (invalid.index, invalid.rows, invalid.num_events) == (1, None, 1)
    return invalid.reason, invalid.sentence


def test_a_valid_event_becomes_a_row_of_the_batch_schema(decoder: EventDecoder) -> None:
    message = KafkaMessage(event(weight=2.5), at_offset=41, at_partition=3, timestamp_ms=1234)
    decoded = decoder.decode([message])
    assert decoded.events.schema.equals(batch_schema(SCHEMA))
    decoded.events.validate(full=True)
    assert decoded.events.to_pylist() == [
        {
            "features.pixels": [0.5, 1.0, -2.0],
            "features.amount": 3.0,
            "features.country": "ES",
            "features.body": "¡hola!",
            "label": "yes",
            "weight": 2.5,
            "partition": 3,
            "offset": 41,
            "row": 0,
            "timestamp_ms": 1234,
        }
    ]
    assert decoded.invalid == ()


@pytest.mark.parametrize(
    ("label", "text"),
    [
        ("a", "a"),
        ("2026-01-01", "2026-01-01"),
        ("ñ" * 256, "ñ" * 256),
        (True, "true"),
        (False, "false"),
        (7, "7"),
        (-12, "-12"),
        (2**63, "9223372036854775808"),
        (10**200, "1" + "0" * 200),
    ],
)
def test_a_label_of_any_type_becomes_its_text(decoder: EventDecoder, label: object, text: str) -> None:
    for _ in range(3):  # the second batch knows the label type of the first
        decoded = decoder.decode(messages_of(event(label=label), event(label=label)))
        assert decoded.events.column("label").to_pylist() == [text, text]


def test_labels_of_several_types_may_stand_in_one_batch(decoder: EventDecoder) -> None:
    labels = ["1", 1, True, "true", 0, "2026-01-01T00:00:00Z", False]
    decoded = decoder.decode(messages_of(*[event(label=label) for label in labels]))
    assert decoded.events.column("label").to_pylist() == [
        "1",
        "1",
        "true",
        "true",
        "0",
        "2026-01-01T00:00:00Z",
        "false",
    ]


@pytest.mark.parametrize(
    ("value", "reason", "sentence"),
    [
        (with_features(pixels=[1, 2]), "field", "features.pixels holds 2 numbers; the model reads 3."),
        (with_features(pixels=[1, 2, 3, 4]), "field", "features.pixels holds 4 numbers; the model reads 3."),
        (with_features(pixels=[1]), "field", "features.pixels holds 1 number; the model reads 3."),
        (with_features(pixels=[]), "field", "features.pixels holds 0 numbers; the model reads 3."),
        (with_features(pixels=[1, float("nan"), 3]), "field", "features.pixels[1] is null or NaN"),
        (with_features(pixels=[1, 2, float("-inf")]), "field", "features.pixels[2] is -inf"),
        (with_features(pixels=[1e39, 2, 3]), "field", "features.pixels[0] is inf; all must be finite as float32."),
        (with_features(pixels=[1, None, 3]), "field", "features.pixels[1] is null"),
        (with_features(pixels=[1, "2", 3]), "field", "features.pixels[1] is a string; it must be a number."),
        (with_features(pixels=[1, [2], 3]), "field", "features.pixels[1] is a list; it must be a number."),
        (with_features(pixels=7), "field", "features.pixels is an integer; it must be a list."),
        (
            with_features(pixels=None),
            "field",
            "features.pixels is missing or null; the model reads a list of 3 numbers.",
        ),
        (with_features(amount=None), "field", "features.amount is missing or null; the model reads a number."),
        (with_features(amount=float("nan")), "field", "features.amount is nan; it must be a finite number."),
        (with_features(amount=float("inf")), "field", "features.amount is inf; it must be a finite number."),
        (with_features(amount=float("-inf")), "field", "features.amount is -inf; it must be a finite number."),
        (with_features(amount="3"), "field", "features.amount is a string; it must be a number."),
        (with_features(amount=True), "field", "features.amount is a boolean; it must be a number."),
        (with_features(country=None), "field", "features.country is missing or null; the model reads a string."),
        (with_features(country=5), "field", "features.country is an integer; it must be a string."),
        (with_features(body=["x"]), "field", "features.body is a list; it must be a string."),
        (event(features={}), "field", "features.pixels is missing or null"),
        (event(features=None), "field", "features.pixels is missing or null"),
        (event(features=[1]), "field", "features is a list; it must be an object."),
        (event(event_id=""), "event_id", "event_id is empty; it must be a string that is not empty."),
        (b'{"features": {}, "label": "x"}', "event_id", "event_id is missing or null"),
        (event(label=""), "label", "label is empty; it must have 1 to 256 characters."),
        (event(label="ñ" * 257), "label", "label has 257 characters; it must have 1 to 256 characters."),
        (event(label=None), "label", "label is missing or null"),
        (event(label=1.5), "label", "label is a number; it must be"),
        (event(label=["a"]), "label", "label is a list; it must be"),
        (event(label=10**300), "label", "label has 301 characters"),
        (event(weight=0), "weight", "weight is 0.0; it must be finite and above 0."),
        (event(weight=-1), "weight", "weight is -1.0; it must be finite and above 0."),
        (event(weight=float("inf")), "weight", "weight is inf; it must be finite and above 0."),
        (event(weight="1"), "weight", "weight is a string; it must be a number."),
        (event(occurred_at="yesterday"), "occurred_at", "occurred_at is 'yesterday'; it must be an RFC 3339 instant"),
        (event(occurred_at="2026-01-01T00:00:00"), "occurred_at", "occurred_at is '2026-01-01T00:00:00'"),
        (event(occurred_at="2026-13-01T00:00:00Z"), "occurred_at", "occurred_at is '2026-13-01T00:00:00Z'"),
        (event(occurred_at=1), "occurred_at", "occurred_at is an integer; it must be a string."),
        (event(tenant=1), "tenant", "tenant is an integer; it must be a string."),
        (event()[:-1], "decode", "The value is not a JSON document"),
        (b"{" * 3, "decode", "The value is not a JSON document"),
        (b"not json", "decode", "The value is not a JSON document"),
        (b"", "decode", "The message has no value"),
        (b"[]", "decode", "The value is a list; it must be an object."),
        (b"null", "decode", "The value is null; it must be an object."),
        (event(tenant="x").replace(b'"x"', b'"\xff"'), "decode", "The value is not a JSON document"),
        (event(tenant="x").replace(b'"x"', b'"\\ud800"'), "decode", "The value is not a JSON document"),
    ],
)
def test_an_invalid_event_is_refused_with_its_field_named(
    decoder: EventDecoder, value: bytes, reason: str, sentence: str
) -> None:
    said = refusal(decoder, value)
    assert said[0] == reason
    assert said[1].startswith(sentence)


@pytest.mark.parametrize(
    "value",
    [
        event(label="mine") + event(label="mine"),
        event(label="mine") + b"\n" + event(label="mine"),
        event(label="mine") + b"}\n{" + event(label="mine")[1:],
        event(label="mine") + b'}\n{"i":1,"e":{}',
        event(label="mine") + b'}\n{"e":' + event(label="mine"),
        event(label="mine") + b',"e":' + event(label="mine"),
        event(label="mine") + b"} ",
        event(label="mine") + b"}",
        event(label="mine")[:-1],
        b"{}{}",
        b"   ",
        b"\n",
        b'{"event_id":"',
        b'{"event_id":"e","features":{',
    ],
)
def test_a_message_of_two_documents_or_none_shifts_nobodys_label(decoder: EventDecoder, value: bytes) -> None:
    assert refusal(decoder, value)[0] == "decode"


def test_two_messages_that_complete_each_other_are_both_refused(decoder: EventDecoder) -> None:
    opens, closes = event(label="x") + event(label="y")[:-1], b'{"a":1}}'
    decoded = decoder.decode(messages_of(event(label="before"), opens, closes, event(label="after")))
    assert decoded.events.column("label").to_pylist() == ["before", "after"]
    assert decoded.accepted.tolist() == [True, False, False, True]


def test_newlines_between_tokens_are_only_space(decoder: EventDecoder) -> None:
    pretty = json.dumps(json.loads(event(label="pretty")), indent=2).encode()
    decoded = decoder.decode(messages_of(event(label="a"), pretty, b"\r\n\t " + event(label="b") + b"\n\n"))
    assert decoded.events.column("label").to_pylist() == ["a", "pretty", "b"]


def test_a_newline_within_a_string_is_no_json(decoder: EventDecoder) -> None:
    assert refusal(decoder, event(label="a-b").replace(b"a-b", b"a\nb"))[0] == "decode"


def test_one_poison_among_many_loses_only_itself(decoder: EventDecoder) -> None:
    values = [event(label=f"class {index}") for index in range(256)]
    values[100] = b'{"event_id": "poison'
    decoded = decoder.decode(messages_of(*values))
    expected = [f"class {index}" for index in range(256) if index != 100]
    assert decoded.events.column("label").to_pylist() == expected
    assert [refused.index for refused in decoded.invalid] == [100]


def test_a_batch_of_nothing_but_invalid_events_is_an_empty_batch(decoder: EventDecoder) -> None:
    decoded = decoder.decode(messages_of(b"x", b"{", event(label="")))
    assert decoded.events.num_rows == 0
    assert decoded.events.schema.equals(batch_schema(SCHEMA))
    assert [refused.index for refused in decoded.invalid] == [0, 1, 2]
    assert decoder.decode([]).events.num_rows == 0


def test_a_message_of_900_kilobytes_is_an_event_like_others(decoder: EventDecoder) -> None:
    body = "x" * 900_000
    decoded = decoder.decode(messages_of(event(label="a"), with_features(body=body), event(label="b")))
    assert decoded.events.column("label").to_pylist() == ["a", "yes", "b"]
    assert decoded.events.column("features.body")[1].as_py() == body


def test_unknown_fields_are_not_looked_at(decoder: EventDecoder) -> None:
    nested = b'{"deep":' + b"[" * 5000 + b"]" * 5000 + b"," + event(label="deep")[1:]
    values = [event(label="nan", score=float("nan")), nested, event(label="object", extra={"label": [1, {"a": None}]})]
    decoded = decoder.decode(messages_of(*values))
    assert decoded.events.column("label").to_pylist() == ["nan", "deep", "object"]


def test_of_a_field_given_twice_the_last_counts(decoder: EventDecoder) -> None:
    decoded = decoder.decode(messages_of(event(label="first")[:-1] + b',"label":"last"}'))
    assert decoded.events.column("label").to_pylist() == ["last"]


def test_optional_fields_may_be_null_and_a_weight_is_1_unless_given(decoder: EventDecoder) -> None:
    values = [event(), event(weight=None, tenant=None, occurred_at=None), event(weight=3)]
    values += [event(occurred_at="2026-02-28T23:59:60.123456789+05:30"), event(occurred_at="2026-01-01t00:00:00z")]
    decoded = decoder.decode(messages_of(*values))
    assert decoded.events.column("weight").to_pylist() == [1.0, 1.0, 3.0, 1.0, 1.0]


def test_names_of_features_may_be_those_of_fields_and_hold_dots_and_spaces() -> None:
    names = ("label", "weight", "a b", "x.y", "é", "features", "class", "0")
    schema = FeatureSchema(features=tuple(Feature(name=name, kind="number") for name in names))
    values = {name: float(index) for index, name in enumerate(names)}
    for threshold in (COLUMNAR, TYPED):
        decoder = EventDecoder(schema, columnar_from_bytes=threshold)
        decoded = decoder.decode(messages_of(json.dumps({"event_id": "e", "features": values, "label": "L"}).encode()))
        assert decoded.events.column("label").to_pylist() == ["L"]
        assert {name: decoded.events.column(feature_column(name))[0].as_py() for name in names} == values


def test_a_feature_name_that_json_must_escape_is_refused_at_start() -> None:
    with pytest.raises(ConfigurationError, match="quotes, backslashes or control characters"):
        EventDecoder(FeatureSchema(features=(Feature(name='a"b', kind="number"),)))


def test_vectors_are_rounded_to_float32_once_from_float64(decoder: EventDecoder) -> None:
    numbers = [0.1, 1.00000005960464477539, 16777217.0]
    decoded = decoder.decode(messages_of(with_features(pixels=numbers)))
    held = decoded.events.column("features.pixels").flatten().to_numpy()
    assert held.dtype == np.float32
    assert held.tolist() == np.array(numbers, dtype=np.float64).astype(np.float32).tolist()
