"""What a replay of dead letters leaves behind: a mark on each message that it sends, and notes beside the letters.

The mark says which letter a message of the label topic was. A note on the dead-letter topic says that letters are about
to be sent, or have been: it stands behind them in their own partition, so it is there for as long as they are.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Final, Literal, cast

import msgspec

from penstock.wire.message import Headers

REPLAYED_FROM: Final = "penstock.replayed-from"
"""Header of a replayed message, behind those that it always had: `TOPIC:PARTITION:OFFSET` of its dead letter."""
NOTE: Final = "penstock.replay"
"""The one header of a note; its value says `begun` or `sent`."""

State = Literal["begun", "sent"]


@dataclass(frozen=True, kw_only=True)
class ReplayNote:
    """Letters of one partition, by ascending offset; `label_ends`: where the label topic ended before any was sent."""

    state: State
    offsets: tuple[int, ...]
    label_ends: dict[int, int]


class _Document(msgspec.Struct, frozen=True, kw_only=True):
    letters: str
    label_ends: dict[str, int]


def mark(topic: str, partition: int, offset: int) -> tuple[str, bytes]:
    """The header that a message gets which is sent again."""
    return REPLAYED_FROM, f"{topic}:{partition}:{offset}".encode()


def marked_offset(headers: Headers, topic: str, partition: int) -> int | None:
    """Of the letter of this partition that a message was, by its last mark; None if it was none of them."""
    marks = [value for name, value in headers if name == REPLAYED_FROM and value]
    of_topic, _, place = marks[-1].decode(errors="replace").rpartition(f":{partition}:") if marks else ("", "", "")
    return int(place) if of_topic == topic and place.isdecimal() else None


def encode_note(note: ReplayNote) -> tuple[bytes, Headers]:
    """Value and headers of a note's message."""
    ends = {str(partition): end for partition, end in note.label_ends.items()}
    value = msgspec.json.encode(_Document(letters=",".join(_runs(note.offsets)), label_ends=ends))
    return value, [(NOTE, note.state.encode())]


def decode_note(value: bytes | None, headers: Headers) -> ReplayNote | None:
    """The note in a message of the dead-letter topic; None if it is a letter, or does not read."""
    if len(headers) != 1 or headers[0][0] != NOTE:
        return None
    state = (headers[0][1] or b"").decode(errors="replace")
    if state not in ("begun", "sent"):
        return None
    try:
        document = msgspec.json.decode(value or b"", type=_Document)
        return ReplayNote(
            state=cast(State, state),
            offsets=tuple(_offsets(document.letters)),
            label_ends={int(partition): end for partition, end in document.label_ends.items()},
        )
    except (msgspec.MsgspecError, UnicodeDecodeError, ValueError):
        return None


def _runs(offsets: Iterable[int]) -> Iterator[str]:
    """`1-3` and `7` for 1, 2, 3, 7."""
    ascending = sorted(offsets)
    if not ascending:
        return
    first = ascending[0]
    for before, after in pairwise([*ascending, ascending[-1] + 2]):
        if after != before + 1:
            yield str(first) if first == before else f"{first}-{before}"
            first = after


def _offsets(runs: str) -> Iterator[int]:
    for run in filter(None, runs.split(",")):
        first, _, last = run.partition("-")
        yield from range(int(first), int(last or first) + 1)
