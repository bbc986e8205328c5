"""What the intake needs from the outside, as the smallest protocols that work; adapters implement them."""

from collections.abc import Collection
from typing import Protocol

from penstock.wire.dead_letter import DeadLetter
from penstock.wire.message import Message


class MessageSource(Protocol):
    """The label topic: all its partitions, assigned, each read in order from the offset it was seeked to."""

    def poll(self, max_messages: int, timeout_seconds: float) -> list[Message]:
        """The next messages, at most `max_messages`, none with an error.

        Waits up to `timeout_seconds` for the first one and returns with what is there; empty at the timeout, also
        while the broker is away.

        Raises:
            RetentionError: the events at the position are gone.
        """
        ...

    def partitions(self) -> tuple[int, ...]:
        """All partitions of the topic, ascending; the same for the life of the source."""
        ...

    def partitions_at_end(self) -> frozenset[int]:
        """Partitions of which `poll` has returned every message up to the end, as last heard from the broker.

        A partition is not at its end before the broker has said where the end is, nor while it is paused with
        messages left.
        """
        ...

    def pause(self, partitions: Collection[int]) -> None:
        """Return no messages of these until they are resumed."""
        ...

    def resume(self, partitions: Collection[int]) -> None:
        """Go on with these behind the last message returned."""
        ...


class DeadLetterSink(Protocol):
    """Where refused messages go."""

    def send(self, letter: DeadLetter) -> None:
        """Take one dead letter for delivery; returns at once.

        Acknowledgement is waited for elsewhere, before the checkpoint that moves past the message.
        """
        ...
