"""Bodies that come and go compressed, by gzip or deflate; a small one that grows without end stops at the limit."""

import zlib
from collections.abc import Mapping

from penstock.serving.refusals import BadInputError, TooLargeError

GZIP, DEFLATE = "gzip", "deflate"
NAMES: Mapping[str, str] = {"gzip": GZIP, "x-gzip": GZIP, "deflate": DEFLATE}
_WINDOW_BITS = {GZIP: 31, DEFLATE: 15}
_BARE_DEFLATE = -15
"""Without the wrapper that the standard asks for, as some senders write it."""
_GZIP_BEGINS = (b"\x1f\x8b", b"\x1f")
"""Of a further member (RFC 1952, section 2.2), as far as it is at hand."""
_STEP_BYTES = 16_384
"""What follows a member is copied for the next one; of a body of many that must not be all the rest."""
_LEVEL = 1


def inflated(body: bytes, encoding: str, max_bytes: int) -> bytes:
    """What was compressed.

    Raises:
        TooLargeError: it is longer than `max_bytes`; no more than that is unpacked.
        BadInputError: it is not whole, or not compressed so.
    """
    try:
        try:
            return _inflated(body, _WINDOW_BITS[encoding], max_bytes)
        except zlib.error:
            if encoding == GZIP:
                raise
            return _inflated(body, _BARE_DEFLATE, max_bytes)
    except (zlib.error, EOFError) as error:
        raise BadInputError(f"The body is not {encoding}, as its Content-Encoding says: {error}.") from None


def deflated(body: bytes, encoding: str) -> bytes:
    """Compressed, rather quickly than well."""
    packer = zlib.compressobj(_LEVEL, zlib.DEFLATED, _WINDOW_BITS[encoding])
    return packer.compress(body) + packer.flush()


def accepted(accept_encoding: str) -> str | None:
    """By what a response may be compressed: the first name that we know and that is not weighted 0."""
    for offer in accept_encoding.lower().split(","):
        name, *parameters = [part.strip() for part in offer.split(";")]
        if name in NAMES and not any(parameter.rstrip("0.") == "q=" for parameter in parameters):
            return NAMES[name]
    return None


def _inflated(body: bytes, window_bits: int, max_bytes: int) -> bytes:
    parts: list[bytes] = []
    num_bytes, unpacker = 0, zlib.decompressobj(window_bits)
    for at in range(0, len(body), _STEP_BYTES):
        packed = body[at : at + _STEP_BYTES]
        while packed:
            if unpacker.eof:
                if window_bits != _WINDOW_BITS[GZIP] or packed[:2] not in _GZIP_BEGINS:
                    raise EOFError("something follows its end")
                unpacker = zlib.decompressobj(window_bits)
            parts.append(unpacker.decompress(packed, max_bytes + 1 - num_bytes))
            num_bytes += len(parts[-1])
            if num_bytes > max_bytes:
                raise TooLargeError(
                    f"The body is longer than {max_bytes} bytes once unpacked; send fewer rows a request, "
                    "or have serving.max_body_bytes raised."
                )
            packed = unpacker.unused_data
    if not unpacker.eof:
        raise EOFError("it ends too early")
    return b"".join(parts)
