"""The weights inside an update, taken out of its JSON piece by piece: they can be megabytes.

In one piece that would take a millisecond, for which whoever answers requests on the same core would wait.
"""

import re

import msgspec

from penstock.make_way import STEP_BYTES, MakeWay

PIECE = STEP_BYTES
"""Characters; a multiple of four, which stand for three bytes each."""
CUT = b"cut0"
"""What is left in their place: base64 (RFC 4648, section 4), too."""

_BEGINNING = re.compile(rb'"inline"\s*:\s*"')
_decode = msgspec.json.Decoder(bytes).decode

CUT_BYTES = _decode(b'"' + CUT + b'"')
"""What it stands for."""


def cut_out(value: bytes) -> tuple[bytes, memoryview] | None:
    """An update's JSON with `CUT` in the place of its first inline text, and that text; None if there is none.

    A decoder looks at every character of a string; only its end is looked for here. Whether what was cut out were its
    weights is seen when the rest is decoded.
    """
    beginning = _BEGINNING.search(value)
    if beginning is None:
        return None
    start = beginning.end()
    end = value.find(b'"', start)
    if end < 0:
        return None
    with memoryview(value) as view:
        return b"".join((view[:start], CUT, view[end:])), view[start:end]


def read_in_pieces(text: memoryview, make_way: MakeWay) -> memoryview | None:
    """The bytes that base64 stands for, as it stands in JSON; None if it is not such that it can be cut into pieces.

    `make_way` is called between the pieces.
    """
    content, filled = bytearray(-(-len(text) // 4) * 3), 0
    for start in range(0, len(text), PIECE):
        make_way()
        piece = text[start : start + PIECE]
        try:
            part = _decode(b"".join((b'"', piece, b'"')))
        except msgspec.DecodeError:
            return None
        if len(piece) == PIECE and len(part) != PIECE // 4 * 3 and start + PIECE < len(text):
            return None  # padded, or with an escaped character: what follows does not begin where it seems to
        content[filled : filled + len(part)] = part
        filled += len(part)
    return memoryview(content)[:filled]
