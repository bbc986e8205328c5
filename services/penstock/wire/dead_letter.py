"""What goes to the dead-letter topic: the message untouched, and why it was refused, in Kafka Connect's headers."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from penstock.errors import InvalidEventError
from penstock.wire.message import Headers, Message

CONNECT_PREFIX = "__connect.errors."
STAGE = "VALUE_CONVERTER"
"""Kafka Connect's name for the stage at which a value is decoded."""
REASON = "penstock.invalid-reason"
INVALID_ROWS = "penstock.invalid-rows"
EXCEPTION_CLASS = f"{InvalidEventError.__module__}.{InvalidEventError.__qualname__}"


@dataclass(frozen=True, kw_only=True)
class DeadLetter:
    """A refused message: `key`, `value` and its own headers as they came, followed by the headers that say why."""

    key: bytes | None = field(repr=False)
    value: bytes | None = field(repr=False)
    headers: Headers


def dead_letter(message: Message, reason: str, sentence: str, rows: Sequence[int] | None = None) -> DeadLetter:
    """The dead letter of a message.

    Args:
        message: as consumed.
        reason: the short machine name of why.
        sentence: the same for a person.
        rows: positions of the refused events in an Arrow message; None when all of it was refused.
    """
    why = [
        (CONNECT_PREFIX + "topic", message.topic()),
        (CONNECT_PREFIX + "partition", str(message.partition())),
        (CONNECT_PREFIX + "offset", str(message.offset())),
        (CONNECT_PREFIX + "stage", STAGE),
        (CONNECT_PREFIX + "exception.class.name", EXCEPTION_CLASS),
        (CONNECT_PREFIX + "exception.message", sentence),
        (REASON, reason),
    ]
    if rows is not None:
        why.append((INVALID_ROWS, ",".join(map(str, rows))))
    own = list(message.headers() or ())
    return DeadLetter(
        key=message.key(), value=message.value(), headers=own + [(name, text.encode()) for name, text in why]
    )


def original_headers(headers: Headers) -> Headers:
    """The headers that the message had before it was refused: for a replay.

    Ours follow the message's own, so the last `__connect.errors.topic` is where they begin; a message that came out
    of another dead-letter queue keeps that queue's headers.
    """
    names = [name for name, _ in headers]
    if CONNECT_PREFIX + "topic" not in names:
        return list(headers)
    first_of_ours = len(names) - 1 - names[::-1].index(CONNECT_PREFIX + "topic")
    return list(headers[:first_of_ours])


def invalid_rows(headers: Headers) -> tuple[int, ...] | None:
    """Positions of the refused events within the message; None when all of it was refused.

    Raises:
        ValueError: the header holds anything but positions.
    """
    ours = headers[len(original_headers(headers)) :]
    for name, value in ours:
        if name == INVALID_ROWS and value is not None:
            return tuple(int(position) for position in value.decode().split(","))
    return None
