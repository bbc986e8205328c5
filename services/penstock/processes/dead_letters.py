"""`penstock dead-letters list` and `penstock dead-letters replay`: what was refused, and sending it again."""

import base64
import heapq
import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import click

from penstock.adapters.kafka.dead_letter_reader import StoredLetter, read_letters
from penstock.adapters.kafka.label_producer import LabelProducer, Outgoing
from penstock.adapters.kafka.topic_ends import read_ends
from penstock.adapters.kafka.topic_names import TopicNames
from penstock.errors import InvalidEventError
from penstock.settings import Settings
from penstock.wire.arrow_events import count_rows
from penstock.wire.arrow_rows import only_rows
from penstock.wire.dead_letter import INVALID_ROWS, invalid_rows, original_headers

SHOWN_CHARACTERS = 80
FLUSH_SECONDS = 1.0


def show(settings: Settings, *, limit: int, as_json: bool) -> int:
    """Print the newest `limit` letters, newest last, and how many there are of each reason."""
    topic = TopicNames(settings.model.name).dead_letters
    by_reason: Counter[str] = Counter()
    letters = _counted(read_letters(settings.kafka, topic), by_reason)
    newest = heapq.nlargest(limit, letters, key=lambda letter: (letter.timestamp_ms, letter.partition, letter.offset))
    for letter in reversed(newest):
        click.echo(json.dumps(_document(letter)) if as_json else _line(letter))
    # Standard output holds nothing but documents, for what reads them.
    click.echo(_summary(topic, by_reason, len(newest)), err=as_json)
    return 0


def replay(settings: Settings, *, reason: str | None, starts: Mapping[int, int] | None, dry_run: bool) -> int:
    """Send letters to the label topic again; 0 once all that were chosen are acknowledged, 1 if some were not."""
    names = TopicNames(settings.model.name)
    read_ends(settings.kafka, names.labels)  # a label topic that is missing is said now, not by a message timing out
    by_reason: Counter[str] = Counter()
    letters = _counted(read_letters(settings.kafka, names.dead_letters, starts), by_reason)
    chosen = (letter for letter in letters if reason is None or letter.reason == reason)
    replayed = _Replayed()
    if dry_run:
        for letter, _ in _messages(chosen, replayed):
            replayed.sent += 1
            click.echo(_line(letter))
        click.echo(f"{_letters(replayed.sent)} would be sent to {names.labels}.")
    else:
        _send(chosen, replayed, LabelProducer(settings.kafka, names.labels), names.labels)
    if replayed.sent + replayed.skipped == 0:
        click.echo(_nothing(names.dead_letters, reason, by_reason))
    return 0 if replayed.skipped == 0 and not replayed.outstanding else 1


@dataclass(kw_only=True)
class _Replayed:
    """How many letters so far, and the places of those whose message is not acknowledged, in the order sent."""

    sent: int = 0
    skipped: int = 0
    outstanding: dict[str, None] = field(default_factory=dict)

    def acknowledged(self, place: str, _partition: int, _offset: int) -> None:
        del self.outstanding[place]


def _send(chosen: Iterator[StoredLetter], replayed: _Replayed, producer: LabelProducer, topic: str) -> None:
    try:
        for letter, message in _messages(chosen, replayed):
            replayed.sent += 1
            replayed.outstanding[letter.place] = None
            producer.send(message, partial(replayed.acknowledged, letter.place))
    finally:  # if reading breaks off, what was sent is still waited for and said: it must not be sent twice
        while not producer.flush(FLUSH_SECONDS):
            pass
        num_missing = len(replayed.outstanding)
        if replayed.sent:
            click.echo(f"{_letters(replayed.sent)} sent to {topic}, {replayed.sent - num_missing} acknowledged.")
        if num_missing:
            places = ", ".join(replayed.outstanding)
            click.echo(f"penstock: {num_missing} not delivered: {producer.first_failure}: {places}", err=True)


def _messages(chosen: Iterator[StoredLetter], replayed: _Replayed) -> Iterator[tuple[StoredLetter, Outgoing]]:
    """Each letter with what is to be sent for it; those that cannot be read are named and skipped."""
    for letter in chosen:
        try:
            message = _again(letter)
        except InvalidEventError as error:
            replayed.skipped += 1
            click.echo(f"penstock: letter {letter.place} is skipped: {error}", err=True)
        else:
            yield letter, message


def _again(letter: StoredLetter) -> Outgoing:
    """The message as it was before it was refused, or those of its events that were. Raises `InvalidEventError`."""
    value, headers = letter.value, original_headers(letter.headers)
    try:
        rows = invalid_rows(letter.headers)
    except ValueError as error:
        raise InvalidEventError("decode", f"The header {INVALID_ROWS} does not hold row positions.") from error
    if rows is not None:
        value = only_rows(value or b"", rows)
    num_events = count_rows(value or b"")
    return Outgoing(key=letter.key, value=value, headers=headers, content_type=None, num_events=num_events)


def _counted(letters: Iterator[StoredLetter], by_reason: Counter[str]) -> Iterator[StoredLetter]:
    for letter in letters:
        by_reason[letter.reason] += 1
        yield letter


def _line(letter: StoredLetter) -> str:
    return "  ".join(
        (letter.place, _printable("-".join(letter.origin)), _printable(letter.sentence), _excerpt(letter.value))
    )


def _excerpt(value: bytes | None) -> str:
    if value is None:
        return "<no value>"
    text, encoding = _text(value)
    if encoding != "utf-8" or not text:
        return f"<{len(value)} bytes>"
    return _printable(text[:SHOWN_CHARACTERS]) + ("…" if len(text) > SHOWN_CHARACTERS else "")


def _printable(text: str) -> str:
    """Senders write values and parts of sentences; none of them may break a line or steer a terminal."""
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode() for character in text
    )


def _document(letter: StoredLetter) -> dict[str, Any]:
    topic, partition, offset = letter.origin
    key, key_encoding = _text(letter.key)
    value, value_encoding = _text(letter.value)
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
    }


def _text(content: bytes | None) -> tuple[str | None, str | None]:
    """Content as text, and how to turn it into bytes again."""
    if content is None:
        return None, None
    try:
        return content.decode(), "utf-8"
    except UnicodeDecodeError:
        return base64.b64encode(content).decode(), "base64"


def _number(text: str) -> int | None:
    return int(text) if text.isdecimal() else None


def _summary(topic: str, by_reason: Counter[str], num_shown: int) -> str:
    if not by_reason:
        return f"There is no dead letter in {topic}."
    newest = "" if num_shown == by_reason.total() else f", the newest {num_shown} shown"
    return f"{_letters(by_reason.total())} in {topic}{newest}: {_reasons(by_reason)}."


def _nothing(topic: str, reason: str | None, by_reason: Counter[str]) -> str:
    if not by_reason:
        return f"There is no dead letter in {topic} to send."
    return f"No dead letter in {topic} has the reason {reason!r}; there are {_reasons(by_reason)}."


def _reasons(by_reason: Counter[str]) -> str:
    return ", ".join(f"{count} {_printable(reason)}" for reason, count in by_reason.most_common())


def _letters(count: int) -> str:
    return f"{count} dead letter{'' if count == 1 else 's'}"
