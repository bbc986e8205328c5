"""A Kafka message as the codecs see it: the part of `confluent_kafka.Message` that they call."""

from typing import Protocol

Headers = list[tuple[str, bytes | None]]
"""Kafka's own form: ordered, a name may repeat."""


class Message(Protocol):
    """A consumed message, without an error. Nothing but methods, so that a consumed message is one as it is."""

    def value(self) -> bytes | None:
        """The payload; None for a tombstone."""
        ...

    def key(self) -> bytes | None:
        """The key, if there is one."""
        ...

    def headers(self) -> Headers | None:
        """The headers, if there are any. Costs about a microsecond: read only when needed."""
        ...

    def topic(self) -> str:
        """Name of the topic."""
        ...

    def partition(self) -> int:
        """Partition of the topic."""
        ...

    def offset(self) -> int:
        """Position in the partition."""
        ...

    def timestamp(self) -> tuple[int, int]:
        """Its type (0: not available) and milliseconds since the epoch."""
        ...
