"""The weights inside an update, taken out of its JSON piece by piece: they can be megabytes.

In one piece that would take a millisecond, for which whoever answers requests on the same core would wait.
"""

import msgspec

from penstock.make_way import STEP_BYTES, MakeWay

PIECE = STEP_BYTES
"""Characters; a multiple of four, which stand for three bytes each."""

_decode = msgspec.json.Decoder(bytes).decode


def read_in_pieces(text: msgspec.Raw, make_way: MakeWay) -> bytes | None:
    """The bytes of a base64 string (RFC 4648, section 4) in JSON; None if it is not one that can be cut into pieces.

    `make_way` is called between the pieces.
    """
    with memoryview(text) as quoted:
        if len(quoted) < 2 or quoted[0] != ord('"'):
            return None
        inner, parts = quoted[1:-1], []
        for start in range(0, len(inner), PIECE):
            make_way()
            piece = inner[start : start + PIECE]
            try:
                part = _decode(b"".join((b'"', piece, b'"')))
            except msgspec.DecodeError:
                return None
            if len(piece) == PIECE and len(part) != PIECE // 4 * 3 and start + PIECE < len(inner):
                return None  # padded, or with an escaped character: what follows does not begin where it seems to
            parts.append(part)
    return b"".join(parts)
