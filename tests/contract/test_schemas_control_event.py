"""`schemas/control-event.schema.json` and the codec say the same."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from json_schemas import schema, validator
from penstock.flow import ClassRequest, ImportRequest
from penstock.wire.control import ControlDocument, decode_control, encode_control
from penstock.wire.invalid import RefusedMessageError

VALIDATOR = validator("control-event")

names = st.text(min_size=1, max_size=256)
anything = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.text(max_size=3),
    st.sampled_from(
        ["", "YQ==", "YWE=", "YWFh", "YWFhY", "x" * 257, [], ["a"], ["a", "b"], [""], ["x" * 257], [1], {}]
    ),
)
documents = st.fixed_dictionaries(
    {},
    optional={
        "control": st.one_of(st.sampled_from(["hibernate", "wake", "retire", "import"]), anything),
        "classes": st.one_of(st.just(["a"]), anything),
        "tenant": anything,
        "packet": anything,
        "other": anything,
    },
)
requests = st.one_of(
    st.builds(
        ClassRequest,
        verb=st.sampled_from(["hibernate", "wake", "retire"]),
        classes=st.lists(names, min_size=1, max_size=3).map(tuple),
    ),
    st.builds(ClassRequest, verb=st.sampled_from(["hibernate", "wake", "retire"]), tenant=st.text(min_size=1)),
    st.builds(ImportRequest, packet=st.binary(min_size=1), name=st.one_of(st.none(), names)),
)


def accepts(document: Any) -> bool:
    try:
        decode_control(json.dumps(document).encode())
    except RefusedMessageError:
        return False
    return True


def test_the_schema_describes_every_field_that_the_codec_reads() -> None:
    assert set(schema("control-event")["properties"]) == set(ControlDocument.__struct_fields__)


@settings(deadline=None)
@given(requests)
def test_what_is_written_the_schema_accepts_and_the_codec_reads_back(request: ClassRequest | ImportRequest) -> None:
    value = encode_control(request)
    VALIDATOR.validate(json.loads(value))
    assert decode_control(value) == request


@settings(max_examples=1000, deadline=None)
@given(documents)
def test_the_schema_accepts_what_the_codec_accepts_and_nothing_else(document: dict[str, Any]) -> None:
    assert VALIDATOR.is_valid(document) == accepts(document)


@pytest.mark.parametrize(
    ("document", "sentence"),
    [
        ({"control": "sleep"}, "'sleep'"),
        ({"control": "wake"}, "must name either classes or a tenant"),
        ({"control": "wake", "classes": ["a"], "tenant": "t"}, "must name either classes or a tenant"),
        ({"control": "wake", "class": "a"}, "`class`"),
        ({"control": "retire", "classes": ["a", ""]}, "classes holds ''"),
        ({"control": "retire", "classes": []}, "classes holds 0 names"),
        ({"control": "hibernate", "tenant": ""}, "tenant is empty"),
        ({"control": "hibernate", "classes": ["a"], "packet": "YQ=="}, "packet goes with the control 'import' only"),
        ({"control": "import"}, "must carry a packet"),
        ({"control": "import", "packet": "%"}, "in base64"),
        ({"control": "import", "packet": "YQ==", "classes": ["a", "b"]}, "classes gives 2 names"),
        ({"control": "import", "packet": "YQ==", "tenant": "t"}, "takes no tenant"),
        ([], "does not decode"),
    ],
)
def test_a_malformed_control_is_refused_with_a_sentence_that_names_what_is_wrong(document: Any, sentence: str) -> None:
    with pytest.raises(RefusedMessageError) as refused:
        decode_control(json.dumps(document).encode())
    assert refused.value.reason == "control"
    assert sentence in str(refused.value)
