"""What is wrong with a JSON event, in words, from the decoder's own."""

import re

import msgspec

from penstock.wire.event_columns import (
    EVENT_ID,
    FEATURES,
    LABEL,
    OCCURRED_AT,
    PREDICTION_ID,
    RETRACTS,
    TENANT,
    WEIGHT,
)
from penstock.wire.invalid import Fault, Reason

REASONS: dict[str, Reason] = {
    EVENT_ID: "event_id",
    FEATURES: "field",
    LABEL: "label",
    OCCURRED_AT: "occurred_at",
    WEIGHT: "weight",
    TENANT: "tenant",
    RETRACTS: "retracts",
    PREDICTION_ID: "prediction_id",
}
WORDS = {
    "str": "a string",
    "float": "a number",
    "int": "an integer",
    "bool": "a boolean",
    "object": "an object",
    "array": "a list",
    "null": "null",
}
WHERE = re.compile(r" - at `\$\.?(?P<path>.*)`$", re.DOTALL)
WRONG_TYPE = re.compile(r"^Expected `(?P<expected>[^`]+)`, got `(?P<got>[^`]+)`$")


def fault(position: int, error: Exception, *, within: str = "") -> Fault:
    """What is wrong with a value; `within` is the field whose text alone was decoded."""
    if not isinstance(error, msgspec.ValidationError):
        what = "nested too deeply" if isinstance(error, RecursionError) else str(error)
        return Fault(row=position, reason="decode", sentence=f"The value is not a JSON document: {what}.")
    where = WHERE.search(str(error))
    path = within + (where["path"] if where else "")
    return Fault(
        row=position,
        reason=REASONS.get(re.split(r"[.\[]", path, maxsplit=1)[0], "decode"),
        sentence=f"{path or 'The value'} {_in_words(WHERE.sub('', str(error)))}.",
    )


def _in_words(problem: str) -> str:
    """`is a string; it must be a number`, from the decoder's own words for it."""
    match = WRONG_TYPE.match(problem)
    if match is None:
        return f"does not decode: {problem}"
    expected = [WORDS.get(name, name) for name in match["expected"].split(" | ") if name != "null"]
    return f"is {WORDS.get(match['got'], match['got'])}; it must be {' or '.join(expected)}"
