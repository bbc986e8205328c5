"""`penstock dead-letters replay`: exactly the chosen letters to the label topic again, each of them once.

1. Read the whole choice, and what earlier replays have noted of it.
2. Letters that a replay began to send and did not note as sent: look for their marks in the label topic.
3. Note what is about to be sent, send it, wait for the broker, note what was sent; up to `CHUNK` letters at a time.

Whatever stops it, and wherever, another replay of the same letters goes on with those that have not been sent.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial

import click

from penstock.adapters.kafka.dead_letter_reader import StoredLetter, read_letters
from penstock.adapters.kafka.label_producer import LabelProducer, Outgoing
from penstock.adapters.kafka.topic_ends import read_bounds
from penstock.adapters.kafka.topic_names import TopicNames
from penstock.errors import InvalidEventError, UnavailableError
from penstock.processes.dead_letters import words
from penstock.processes.dead_letters.choosing import Choice, Found, Place, chosen_letters
from penstock.settings import Settings
from penstock.wire.arrow_events import count_rows
from penstock.wire.arrow_rows import only_rows
from penstock.wire.dead_letter import INVALID_ROWS, invalid_rows, original_headers
from penstock.wire.replay import ReplayNote, State, encode_note, mark, marked_offset

CHUNK = 10_000
"""Letters between two notes."""
FLUSH_SECONDS = 1.0


def replay(settings: Settings, choice: Choice, *, dry_run: bool, again: bool) -> int:
    """Send letters to the label topic again; 0 once all that were chosen are acknowledged, 1 if some were not.

    Letters that an earlier replay has sent are left out, unless `again`.
    """
    names = TopicNames(settings.model.name)
    label_bounds = read_bounds(settings.kafka, names.labels)  # one that is missing is said before anything is read
    found = Found()
    chosen = [
        (each.partition, each.offset) for each in chosen_letters(settings.kafka, names.dead_letters, choice, found)
    ]
    sending = _Sending(settings, names)
    done = set() if again else found.sent() & set(chosen)
    if not again:
        done |= sending.found_in_labels(_begun(found, set(chosen) - done), label_bounds[0].next, keep=not dry_run)
    waiting = [place for place in chosen if place not in done]
    if dry_run:
        for letter, _ in sending.messages(waiting):
            sending.sent += 1
            click.echo(words.line(letter))
        click.echo(f"{words.letters(sending.sent)} would be sent to {names.labels}.")
    else:
        sending.send(waiting)
    if done:
        click.echo(f"{words.letters(len(done))} left out: sent by an earlier replay; --again sends them once more.")
    if not chosen:
        click.echo(_nothing(names.dead_letters, choice, found))
    return 0 if sending.skipped == 0 and not sending.outstanding else 1


def _begun(found: Found, places: set[Place]) -> dict[Place, Mapping[int, int]]:
    """Of those places, letters that a replay began to send, with where the label topic ended at the first time."""
    begun: dict[Place, Mapping[int, int]] = {}
    for partition, notes in found.notes.items():
        for note in notes:
            for offset in note.offsets if note.state == "begun" else ():
                if (partition, offset) in places:
                    begun.setdefault((partition, offset), note.label_ends)
    return begun


@dataclass(kw_only=True)
class _Progress:
    """How many letters so far, and the places of those whose message is not acknowledged, in the order sent."""

    sent: int = 0
    skipped: int = 0
    outstanding: dict[str, None] = field(default_factory=dict)


class _Sending(_Progress):
    """One run of the command."""

    def __init__(self, settings: Settings, names: TopicNames) -> None:
        super().__init__()
        self._kafka, self._names = settings.kafka, names
        self._labels = LabelProducer(settings.kafka, names.labels)
        self._notes = LabelProducer(settings.kafka, names.dead_letters)

    def found_in_labels(
        self, begun: Mapping[Place, Mapping[int, int]], label_starts: Mapping[int, int], *, keep: bool
    ) -> set[Place]:
        """Those of the letters begun that did arrive; `keep` notes it, so that nobody need look for them again.

        Raises:
            UnavailableError: the label topic no longer holds all that came after they were begun.
        """
        if not begun:
            return set()
        starts = {partition: min(ends.get(partition, 0) for ends in begun.values()) for partition in label_starts}
        if any(label_starts[partition] > start for partition, start in starts.items()):
            raise UnavailableError(
                f"A replay of {words.letters(len(begun))} was broken off, and {self._names.labels!r} no longer holds "
                "all that came after it, so which of them were sent is not known; --again sends all that are chosen."
            )
        partitions = {partition for partition, _ in begun}
        arrived: set[Place] = set()
        for message in read_letters(self._kafka, self._names.labels, starts):
            for partition in partitions:
                offset = marked_offset(message.headers, self._names.dead_letters, partition)
                if offset is not None and (partition, offset) in begun:
                    arrived.add((partition, offset))
        for partition in sorted(partitions) if keep else ():
            self._note("sent", partition, [offset for at, offset in arrived if at == partition])
        return arrived

    def send(self, waiting: list[Place]) -> None:
        """Send these letters and say how it went."""
        if not waiting:
            return
        try:
            for start in range(0, len(waiting), CHUNK):
                self._send_chunk(waiting[start : start + CHUNK])
        finally:  # if reading breaks off, what was sent is still said
            num_missing = len(self.outstanding)
            if self.sent:
                acknowledged = self.sent - num_missing
                click.echo(f"{words.letters(self.sent)} sent to {self._names.labels}, {acknowledged} acknowledged.")
            if num_missing:
                places = ", ".join(self.outstanding)
                failure = self._labels.first_failure
                click.echo(f"penstock: {num_missing} not delivered: {failure}: {places}", err=True)

    def messages(self, waiting: list[Place]) -> Iterator[tuple[StoredLetter, Outgoing]]:
        """Each letter with what is to be sent for it; those that cannot be read are named and skipped."""
        if not waiting:
            return
        for letter in chosen_letters(self._kafka, self._names.dead_letters, Choice(only=frozenset(waiting)), Found()):
            try:
                message = self._again(letter)
            except InvalidEventError as error:
                self.skipped += 1
                click.echo(f"penstock: letter {letter.place} is skipped: {error}", err=True)
            else:
                yield letter, message

    def _send_chunk(self, places: list[Place]) -> None:
        partitions = sorted({partition for partition, _ in places})
        for partition in partitions:
            self._note("begun", partition, [offset for at, offset in places if at == partition])
        acknowledged: list[Place] = []
        try:
            for letter, message in self.messages(places):
                self.sent += 1
                self.outstanding[letter.place] = None
                self._labels.send(message, partial(self._acknowledged, letter, acknowledged))
        finally:
            while not self._labels.flush(FLUSH_SECONDS):
                pass
            for partition in partitions:
                self._note("sent", partition, [offset for at, offset in acknowledged if at == partition])

    def _acknowledged(self, letter: StoredLetter, acknowledged: list[Place], _partition: int, _offset: int) -> None:
        del self.outstanding[letter.place]
        acknowledged.append((letter.partition, letter.offset))

    def _note(self, state: State, partition: int, offsets: list[int]) -> None:
        """Returns when the broker has it. Raises `UnavailableError`."""
        if not offsets:
            return
        ends = read_bounds(self._kafka, self._names.labels)[1].next if state == "begun" else {}
        value, headers = encode_note(ReplayNote(state=state, offsets=tuple(sorted(offsets)), label_ends=dict(ends)))
        failed_before = self._notes.events_delivered
        self._notes.send(Outgoing(value=value, headers=headers, content_type=None, num_events=1, partition=partition))
        while not self._notes.flush(FLUSH_SECONDS):
            pass
        if self._notes.events_delivered == failed_before:
            raise UnavailableError(
                f"{self._names.dead_letters!r} does not take the note of a replay: {self._notes.first_failure}."
            )

    def _again(self, letter: StoredLetter) -> Outgoing:
        """The message as it was before it was refused, or those of its events that were, with a mark.

        Raises:
            InvalidEventError: it cannot be read.
        """
        value, headers = letter.value, original_headers(letter.headers)
        try:
            rows = invalid_rows(letter.headers)
        except ValueError as error:
            raise InvalidEventError("decode", f"The header {INVALID_ROWS} does not hold row positions.") from error
        if rows is not None:
            value = only_rows(value or b"", rows)
        return Outgoing(
            key=letter.key,
            value=value,
            headers=[*headers, mark(self._names.dead_letters, letter.partition, letter.offset)],
            content_type=None,
            num_events=count_rows(value or b""),
        )


def _nothing(topic: str, choice: Choice, found: Found) -> str:
    if not found.by_reason:
        return f"There is no dead letter in {topic} to send."
    if choice.reason is None:
        return f"No dead letter in {topic} is chosen; there are {words.reasons(found.by_reason)}."
    return f"No dead letter in {topic} has the reason {choice.reason!r}; there are {words.reasons(found.by_reason)}."
