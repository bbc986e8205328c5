"""Which dead letters a command is about, and what replays have noted of them."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from penstock.adapters.kafka.config import KafkaValue
from penstock.adapters.kafka.dead_letter_reader import StoredLetter, read_letters
from penstock.wire.replay import ReplayNote

Place = tuple[int, int]
"""Partition and offset in the dead-letter topic."""


@dataclass(frozen=True, kw_only=True)
class Choice:
    """Filters; a letter is chosen if it passes all that are set.

    `starts` are offsets by partition, of which others have none to choose from; `only` names letters one by one.
    """

    reason: str | None = None
    starts: Mapping[int, int] | None = None
    only: frozenset[Place] = frozenset()
    containing: bytes = b""

    @property
    def begin(self) -> Mapping[int, int] | None:
        """Where to read from, by partition; None: everything."""
        if self.starts is not None or not self.only:
            return self.starts
        return {
            partition: min(offset for at, offset in self.only if at == partition)
            for partition in {partition for partition, _ in self.only}
        }

    def takes(self, letter: StoredLetter) -> bool:
        """True if it is chosen; letters before `begin` are not asked about."""
        return (
            (self.reason is None or letter.reason == self.reason)
            and (not self.only or (letter.partition, letter.offset) in self.only)
            and self.containing in (letter.value or b"")
        )


@dataclass(kw_only=True)
class Found:
    """What reading has come upon so far: letters by reason, chosen or not, and notes in order by partition."""

    by_reason: Counter[str] = field(default_factory=Counter)
    notes: dict[int, list[ReplayNote]] = field(default_factory=dict)

    def sent(self) -> set[Place]:
        """Letters of which a replay has noted that they were sent."""
        return {
            (partition, offset)
            for partition, notes in self.notes.items()
            for note in notes
            if note.state == "sent"
            for offset in note.offsets
        }


def chosen_letters(
    options: Mapping[str, KafkaValue], topic: str, choice: Choice, found: Found
) -> Iterator[StoredLetter]:
    """The chosen letters of one partition after the other; `found` is filled meanwhile.

    Raises:
        ConfigurationError: there is no such topic or partition.
        UnavailableError: the broker does not answer.
    """
    for letter in read_letters(options, topic, choice.begin):
        note = letter.note
        if note is not None:
            found.notes.setdefault(letter.partition, []).append(note)
            continue
        found.by_reason[letter.reason] += 1
        if choice.takes(letter):
            yield letter
