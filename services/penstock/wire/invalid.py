"""Why an event is refused: a fixed set of short names for the metric, and what is said about one message."""

from dataclasses import dataclass
from typing import Literal

from penstock.errors import InvalidEventError

Reason = Literal[
    "decode",
    "content_type",
    "size",
    "event_id",
    "field",
    "label",
    "weight",
    "occurred_at",
    "tenant",
    "retracts",
    "control",
    "prediction_id",
    "unmatched",
    "classes",
]
"""`decode`: not JSON or not an Arrow stream; `size`: too many rows or bytes; `control`: a control event; `unmatched`:
the prediction that the event names was not found; `classes`: it is of a class too many; the others name the field."""

MAX_SHOWN = 60
"""Characters of a refused value that a sentence repeats."""


@dataclass(frozen=True, kw_only=True)
class InvalidMessage:
    """A message that holds refused events.

    `index` is its position among the decoded messages; `rows` the positions of the refused events within it, or None
    when all of it was refused; `num_events` how many were refused. `reason` and `sentence` are those of the first.
    """

    index: int
    rows: tuple[int, ...] | None
    num_events: int
    reason: Reason
    sentence: str


@dataclass(frozen=True, kw_only=True)
class Fault:
    """One refused event: its row among those validated together, and why."""

    row: int
    reason: Reason
    sentence: str


def shown(value: object) -> str:
    """A value as a sentence repeats it: quoted if it is text, cut where it is long."""
    text = repr(value)
    return text if len(text) <= MAX_SHOWN else text[: MAX_SHOWN - 1] + "…"


class RefusedMessageError(InvalidEventError):
    """All events of one message are refused, for one of the fixed reasons."""

    reason: Reason

    def __init__(self, reason: Reason, sentence: str) -> None:
        super().__init__(reason, sentence)
