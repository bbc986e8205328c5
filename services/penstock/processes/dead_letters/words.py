"""Dead letters in words: one line, one JSON document, and counts."""

import base64
from collections import Counter
from typing import Any

from penstock.adapters.kafka.dead_letter_reader import StoredLetter

SHOWN_CHARACTERS = 80


def line(letter: StoredLetter, *, is_sent: bool = False) -> str:
    """Place, origin, sentence, the first bytes, and whether a replay has sent it."""
    parts = [letter.place, printable("-".join(letter.origin)), printable(letter.sentence), _excerpt(letter.value)]
    return "  ".join([*parts, "(replayed)"] if is_sent else parts)


def document(letter: StoredLetter, *, is_sent: bool) -> dict[str, Any]:
    """The whole letter as plain values, without its headers."""
    topic, partition, offset = letter.origin
    key, key_encoding = as_text(letter.key)
    value, value_encoding = as_text(letter.value)
    return {
        "partition": letter.partition,
        "offset": letter.offset,
        "original": {"topic": topic, "partition": _number(partition), "offset": _number(offset)},
        "reason": letter.reason,
        "sentence": letter.sentence,
        "key": key,
        "key_encoding": key_encoding,
        "value": value,
        "value_encoding": value_encoding,
        "replayed": is_sent,
    }


def printable(text: str) -> str:
    """Senders write values and parts of sentences; none of them may break a line or steer a terminal."""
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode() for character in text
    )


def as_text(content: bytes | None) -> tuple[str | None, str | None]:
    """Content as text, and how to turn it into bytes again."""
    if content is None:
        return None, None
    try:
        return content.decode(), "utf-8"
    except UnicodeDecodeError:
        return base64.b64encode(content).decode(), "base64"


def reasons(by_reason: Counter[str]) -> str:
    """`3 decode, 1 label`."""
    return ", ".join(f"{count} {printable(reason)}" for reason, count in by_reason.most_common())


def letters(count: int) -> str:
    """`1 dead letter`, `2 dead letters`."""
    return f"{count} dead letter{'' if count == 1 else 's'}"


def _excerpt(value: bytes | None) -> str:
    if value is None:
        return "<no value>"
    text, encoding = as_text(value)
    if encoding != "utf-8" or not text:
        return f"<{len(value)} bytes>"
    return printable(text[:SHOWN_CHARACTERS]) + ("…" if len(text) > SHOWN_CHARACTERS else "")


def _number(text: str) -> int | None:
    return int(text) if text.isdecimal() else None
