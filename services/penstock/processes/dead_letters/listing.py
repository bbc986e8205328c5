"""`penstock dead-letters list` and `show`: what was refused, why, and whether it was sent again."""

import heapq
import json
from collections import Counter

import click

from penstock.adapters.kafka.dead_letter_reader import StoredLetter
from penstock.adapters.kafka.topic_names import TopicNames
from penstock.errors import ConfigurationError
from penstock.processes.dead_letters import words
from penstock.processes.dead_letters.choosing import Choice, Found, Place, chosen_letters
from penstock.settings import Settings
from penstock.wire.dead_letter import original_headers


def show_list(settings: Settings, choice: Choice, *, limit: int, as_json: bool) -> int:
    """Print the newest `limit` of the chosen letters, newest last, and how many there are of each reason."""
    topic, found, by_reason = TopicNames(settings.model.name).dead_letters, Found(), Counter[str]()
    letters = chosen_letters(settings.kafka, topic, choice, found)
    newest = heapq.nlargest(
        limit,
        (letter for letter in letters if not by_reason.update([letter.reason])),
        key=lambda letter: (letter.timestamp_ms, letter.partition, letter.offset),
    )
    sent = found.sent()
    for letter in reversed(newest):
        is_sent = (letter.partition, letter.offset) in sent
        text = json.dumps(words.document(letter, is_sent=is_sent)) if as_json else words.line(letter, is_sent=is_sent)
        click.echo(text)
    # Standard output holds nothing but documents, for what reads them.
    click.echo(_summary(topic, by_reason, found, len(newest)), err=as_json)
    return 0


def show_one(settings: Settings, place: Place, *, as_json: bool) -> int:
    """Print one letter with its headers and all of its value.

    Raises:
        ConfigurationError: there is none at this place.
    """
    topic, found = TopicNames(settings.model.name).dead_letters, Found()
    choice = Choice(only=frozenset({place}))
    letter = next(iter(list(chosen_letters(settings.kafka, topic, choice, found))), None)
    if letter is None:
        raise ConfigurationError(f"There is no dead letter at {place[0]}:{place[1]} of {topic!r}.")
    is_sent = place in found.sent()
    if as_json:
        click.echo(json.dumps(words.document(letter, is_sent=is_sent) | {"headers": _header_documents(letter)}))
    else:
        _print_whole(letter, is_sent=is_sent)
    return 0


def _print_whole(letter: StoredLetter, *, is_sent: bool) -> None:
    click.echo(f"place     {letter.place}{' (replayed)' if is_sent else ''}")
    click.echo(f"origin    {words.printable('-'.join(letter.origin))}")
    click.echo(f"reason    {words.printable(letter.reason)}")
    click.echo(f"sentence  {words.printable(letter.sentence)}")
    for name, value in original_headers(letter.headers):
        click.echo(f"header    {words.printable(name)}: {_shown(value)}")
    click.echo(f"key       {_shown(letter.key)}")
    click.echo(f"value     {_shown(letter.value)}")


def _shown(content: bytes | None) -> str:
    text, encoding = words.as_text(content)
    if text is None:
        return "<none>"
    return words.printable(text) if encoding == "utf-8" else f"{text} ({encoding})"


def _header_documents(letter: StoredLetter) -> list[dict[str, str | None]]:
    documents = []
    for name, content in original_headers(letter.headers):
        value, encoding = words.as_text(content)
        documents.append({"name": name, "value": value, "value_encoding": encoding})
    return documents


def _summary(topic: str, by_reason: Counter[str], found: Found, num_shown: int) -> str:
    total = found.by_reason.total()
    if not total:
        return f"There is no dead letter in {topic}."
    if not by_reason:
        return f"None of {words.letters(total)} in {topic} is chosen; there are {words.reasons(found.by_reason)}."
    newest = "" if num_shown == by_reason.total() else f", the newest {num_shown} shown"
    chosen = "" if by_reason.total() == total else f"{by_reason.total()} chosen of "
    return f"{chosen}{words.letters(total)} in {topic}{newest}: {words.reasons(by_reason)}."
