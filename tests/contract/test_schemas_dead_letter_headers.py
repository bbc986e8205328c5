"""`schemas/dead-letter.headers.schema.json` and the dead letters that are written say the same."""

from typing import get_args

from hypothesis import given
from hypothesis import strategies as st

from json_schemas import schema, validator
from kafka_messages import KafkaMessage
from penstock.wire.dead_letter import dead_letter
from penstock.wire.invalid import Reason

VALIDATOR = validator("dead-letter.headers")


@given(
    st.sampled_from(get_args(Reason)),
    st.text(min_size=1),
    st.one_of(st.none(), st.lists(st.integers(0, 10**6), min_size=1, max_size=5)),
)
def test_the_headers_added_to_a_message_are_those_of_the_schema(
    reason: str, sentence: str, rows: list[int] | None
) -> None:
    letter = dead_letter(KafkaMessage(b"x", at_offset=2**40, at_partition=12), reason, sentence, rows)
    headers = {name: value.decode() for name, value in letter.headers if value is not None}
    VALIDATOR.validate(headers)
    assert list(headers) == list(schema("dead-letter.headers")["properties"])[: len(headers)]


def test_the_schema_knows_every_reason() -> None:
    assert schema("dead-letter.headers")["properties"]["penstock.invalid-reason"]["enum"] == list(get_args(Reason))
