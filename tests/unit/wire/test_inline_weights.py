"""Weights are read out of an update piece by piece, and are those that were written, whoever wrote them."""

import base64
import json
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.errors import InvalidEventError
from penstock.flow import ModelUpdate
from penstock.wire.inline_weights import CUT, PIECE, cut_out, read_in_pieces
from penstock.wire.model_update import decode_record, encode_record
from served_models import update_of

LONG = os.urandom(PIECE * 2 + 1000)
"""Nearly three pieces and a half."""


def in_pieces(text: bytes) -> tuple[bytes | None, int]:
    """What was read, and how often way was made."""
    calls: list[None] = []
    found = read_in_pieces(memoryview(text), lambda: calls.append(None))
    return None if found is None else bytes(found), len(calls)


@given(st.integers(0, 2), st.integers(-5, 5))
def test_any_length_is_read_as_it_was_written(pieces: int, more: int) -> None:
    content = LONG[: max(0, PIECE // 4 * 3 * pieces + more)]
    found, times = in_pieces(base64.b64encode(content))
    assert found == content
    assert times == -(-len(base64.b64encode(content)) // PIECE)


@pytest.mark.parametrize(
    "text",
    [
        base64.b64encode(LONG[:10]) + base64.b64encode(LONG),  # padded in the middle
        base64.b64encode(LONG)[:-3],
        base64.b64encode(LONG).replace(b"A", b"*", 1),
        base64.b64encode(LONG).replace(b"/", rb"\/"),
    ],
    ids=["padded in the middle", "cut", "no base64", "escaped"],
)
def test_what_cannot_be_cut_is_left_to_be_read_whole(text: bytes) -> None:
    assert in_pieces(text)[0] is None


def test_an_update_is_the_same_read_either_way_and_lets_others_in_meanwhile() -> None:
    update = update_of(1)
    update = ModelUpdate(**{**vars(update), "inline": LONG, "size_bytes": len(LONG)})
    key, value = encode_record(update, update.model)
    assert value is not None
    calls: list[None] = []
    assert decode_record(key, value, lambda: calls.append(None)) == update
    assert len(calls) == 4


def test_what_is_cut_out_leaves_json_that_says_so() -> None:
    found = cut_out(b'{"weights": {"inline" : "AAAA", "uri": null}}')
    assert found is not None
    assert json.loads(found[0])["weights"]["inline"] == CUT.decode()
    assert bytes(found[1]) == b"AAAA"


@pytest.mark.parametrize("value", [b"{}", b'{"inline": null}', b'{"inline": "AAAA', rb'{"a": "\"inline\": 7"}'])
def test_where_there_is_no_inline_text_nothing_is_cut_out(value: bytes) -> None:
    assert cut_out(value) is None


def test_text_of_the_same_name_elsewhere_is_not_taken_for_the_weights() -> None:
    update = update_of(1)
    update = ModelUpdate(**{**vars(update), "inline": LONG, "size_bytes": len(LONG)})
    key, value = encode_record(update, update.model)
    assert value is not None
    elsewhere = json.dumps({"note": {"inline": "AAAA"}, **json.loads(value)}).encode()
    assert decode_record(key, elsewhere) == update


def test_slashes_may_be_escaped_as_some_languages_do() -> None:
    update = update_of(1)
    update = ModelUpdate(**{**vars(update), "inline": LONG, "size_bytes": len(LONG)})
    key, value = encode_record(update, update.model)
    assert value is not None
    escaped = value.replace(b"/", rb"\/")
    assert escaped != value
    assert decode_record(key, escaped) == update


@pytest.mark.parametrize("inline", ["*" * PIECE * 2, 7, "A" * (PIECE * 2 + 1)])
def test_long_weights_that_are_no_base64_are_refused_with_a_sentence(inline: object) -> None:
    key, value = encode_record(update_of(1), update_of(1).model)
    document = json.loads(value or b"")
    document["weights"] = {"inline": inline, "more": "x" * PIECE}
    with pytest.raises(InvalidEventError, match=r"The model update does not decode: .*inline"):
        decode_record(key, json.dumps(document).encode())
