"""What the intake needs from the outside, as the smallest protocols that work; adapters implement them."""

from collections.abc import Collection
from typing import Protocol

from penstock.flow import Offsets
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
        """All partitions that are read, ascending."""
        ...

    def added_partitions(self) -> frozenset[int]:
        """Partitions that the topic has gained and that wait for `read_too`."""
        ...

    def read_too(self, partitions: Collection[int]) -> None:
        """Read these as well, each from its first message.

        Raises:
            RetentionError: its first events are gone already.
            UnavailableError: the broker does not answer; what is not yet read is still offered.
        """
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


class PredictionSource(Protocol):
    """The prediction topic. It is read from nowhere until `skip_to` is called."""

    def skip_to(self, *, since_ms: int, until_ms: int, max_messages: int) -> None:
        """Go on, in each partition, with the first message stamped `since_ms` or later; never back.

        Messages that `max_messages` others follow, of the same partition and stamped before `until_ms`, may be skipped.

        Raises:
            UnavailableError: the broker does not answer; nothing has changed.
        """
        ...

    def poll(self, max_messages: int, timeout_seconds: float) -> list[Message]:
        """The next messages, each partition's in order; empty at the timeout, also while the broker is away."""
        ...

    def partitions(self) -> tuple[int, ...]:
        """All partitions of the topic."""
        ...

    def partitions_at_end(self) -> frozenset[int]:
        """Partitions of which `poll` has returned every message up to the end, as last heard from the broker."""
        ...

    def position(self, partition: int) -> int:
        """The next offset to be returned."""
        ...

    def end_offsets(self) -> Offsets:
        """Ask the broker where each partition ends now.

        Raises:
            UnavailableError: it does not answer.
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
