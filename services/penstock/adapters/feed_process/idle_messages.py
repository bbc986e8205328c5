"""What the feed process and the one it forks say to each other, over a socket that nobody else holds."""

import msgspec


class Text(msgspec.Struct, frozen=True, tag="text"):
    """Read the base64 in the file that comes along."""


class Read(msgspec.Struct, frozen=True, kw_only=True, tag="read"):
    """What it stands for lies in the file that comes along (`shared_weights.SharedWeights`)."""

    sha256: str
    size_bytes: int
    is_finite: bool


class Unread(msgspec.Struct, frozen=True, tag="unread"):
    """It cannot be read in pieces."""


Outcome = Read | Unread
