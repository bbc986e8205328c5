"""Bodies that come and go compressed, by gzip or deflate; a small one that grows without end stops at the limit."""

import zlib
from collections.abc import Mapping

from penstock.serving.refusals import BadInputError, TooLargeError

GZIP, DEFLATE = "gzip", "deflate"
NAMES: Mapping[str, str] = {"gzip": GZIP, "x-gzip": GZIP, "deflate": DEFLATE}
_WINDOW_BITS = {GZIP: 31, DEFLATE: 15}
_BARE_DEFLATE = -15
"""Without the wrapper that the standard asks for, as some senders write it."""
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
    unpacker = zlib.decompressobj(window_bits)
    content = unpacker.decompress(body, max_bytes + 1)
    if len(content) > max_bytes:
        raise TooLargeError(
            f"The body is longer than {max_bytes} bytes once unpacked; send fewer rows a request, "
            "or have serving.max_body_bytes raised."
        )
    if not unpacker.eof:
        raise EOFError("it ends too early")
    if unpacker.unused_data:
        raise EOFError("something follows its end")
    return content
