"""A dead letter is the refused message untouched, followed by why."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kafka_messages import KafkaMessage
from penstock.errors import InvalidEventError
from penstock.wire.dead_letter import dead_letter, invalid_rows, original_headers
from penstock.wire.message import Headers

names = st.one_of(st.text(max_size=5), st.just("__connect.errors.topic"), st.just("penstock.invalid-rows"))
headers: st.SearchStrategy[Headers] = st.lists(
    st.tuples(names, st.one_of(st.none(), st.binary(max_size=4))), max_size=5
)


def test_key_value_and_headers_come_first_and_kafka_connects_headers_follow() -> None:
    message = KafkaMessage(
        b"\xff\x00raw",
        at_offset=17,
        at_partition=3,
        with_key=b"\xfe",
        with_headers=[("trace", b"\xfd"), ("trace", None)],
        of_topic="digits.labels",
    )
    letter = dead_letter(message, "field", "features.pixels holds 63 numbers; the model reads 64.")
    assert (letter.key, letter.value) == (b"\xfe", b"\xff\x00raw")
    assert letter.headers == [
        ("trace", b"\xfd"),
        ("trace", None),
        ("__connect.errors.topic", b"digits.labels"),
        ("__connect.errors.partition", b"3"),
        ("__connect.errors.offset", b"17"),
        ("__connect.errors.stage", b"VALUE_CONVERTER"),
        ("__connect.errors.exception.class.name", b"penstock.errors.InvalidEventError"),
        ("__connect.errors.exception.message", b"features.pixels holds 63 numbers; the model reads 64."),
        ("penstock.invalid-reason", b"field"),
    ]
    assert InvalidEventError.__module__ == "penstock.errors"


def test_of_an_arrow_message_the_refused_rows_are_named() -> None:
    letter = dead_letter(KafkaMessage(b"x"), "label", "Row 2: label is empty.", (2, 5))
    assert letter.headers[-1] == ("penstock.invalid-rows", b"2,5")
    assert invalid_rows(letter.headers) == (2, 5)


def test_a_tombstone_without_key_or_headers_has_a_letter_too() -> None:
    letter = dead_letter(KafkaMessage(None), "decode", "The message has no value.")
    assert (letter.key, letter.value) == (None, None)
    assert original_headers(letter.headers) == []


def test_the_payload_is_not_shown_where_a_letter_is_logged() -> None:
    assert "secret" not in repr(dead_letter(KafkaMessage(b"secret", with_key=b"secret"), "decode", "No."))


@pytest.mark.parametrize("rows", [None, (0,), (1, 2, 3)])
@given(headers=headers)
def test_a_replay_finds_the_headers_that_the_message_had(rows: tuple[int, ...] | None, headers: Headers) -> None:
    letter = dead_letter(KafkaMessage(b"x", with_headers=headers), "decode", "No.", rows)
    assert original_headers(letter.headers) == headers
    assert invalid_rows(letter.headers) == rows


def test_headers_of_a_message_that_was_never_refused_are_its_own() -> None:
    assert original_headers([("a", b"1")]) == [("a", b"1")]
    assert invalid_rows([("penstock.invalid-rows", b"1")]) is None
