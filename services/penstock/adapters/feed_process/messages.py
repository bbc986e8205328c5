"""What a replica and its feed process say to each other, over a socket that nobody else holds; JSON by msgspec.

The bytes of weights and deltas do not stand in a message: they travel beside it, as descriptors of shared memory.
"""

from collections.abc import Mapping

import msgspec


class Start(msgspec.Struct, frozen=True, kw_only=True, tag="start"):
    """Follow the update topic of `model`; with `signing_keys`, only what one of them has signed."""

    model: str
    kafka: Mapping[str, str | int | float | bool]
    timeout_seconds: float
    signing_keys: tuple[bytes, ...] | None = None

    def __repr__(self) -> str:
        return f"Start(model={self.model!r})"  # the rest may be secret


class Newest(msgspec.Struct, frozen=True, tag="newest"):
    """`serving.ports.UpdateFeed.newest` is asked for."""


class Poll(msgspec.Struct, frozen=True, tag="poll"):
    """`serving.ports.UpdateFeed.poll` is asked for."""

    timeout_seconds: float


Request = Start | Newest | Poll


class Sent(msgspec.Struct, frozen=True, kw_only=True):
    """A record as on the topic, but without the bytes of weights or of a delta: these are the next descriptor's.

    `is_checked`: size and sha256 of the weights are those announced, and all numbers finite.
    """

    key: bytes
    value: bytes | None
    is_checked: bool = False


class Records(msgspec.Struct, frozen=True, kw_only=True, tag="records"):
    """In log order; more of the same answer follow unless it `is_last`.

    `refused` are the reasons why others are not among them.
    """

    records: tuple[Sent, ...] = ()
    refused: tuple[str, ...] = ()
    is_last: bool = True


class Away(msgspec.Struct, frozen=True, kw_only=True, tag="away"):
    """The broker does not answer: the sentence of the `UnavailableError`."""

    sentence: str


class Failed(msgspec.Struct, frozen=True, kw_only=True, tag="failed"):
    """The topic cannot be followed: the sentence of the `ConfigurationError`."""

    sentence: str


Answer = Records | Away | Failed
