"""Offers to go on in another protocol, as Java's client makes with the first request of each connection.

The parser takes what follows such a head for the other protocol's, so a new one reads on, from the head
without the offer.
"""

from collections.abc import Sequence

import httptools


def reader(protocol: object) -> httptools.HttpRequestParser:
    """A new parser, set as uvicorn sets its own."""
    parser = httptools.HttpRequestParser(protocol)
    parser.set_dangerous_leniencies(lenient_data_after_close=True)
    return parser


def head_without_offer(
    parser: httptools.HttpRequestParser, url: bytes, headers: Sequence[tuple[bytes, bytes]]
) -> bytes | None:
    """What to read instead of the head that the parser has just read; None if nothing is offered."""
    if not parser.should_upgrade() or parser.get_method() == b"CONNECT":
        return None
    first = b"%b %b HTTP/%b" % (parser.get_method(), url, parser.get_http_version().encode())
    lines = [b"%b: %b" % header for header in headers if header[0] != b"upgrade"]
    return b"\r\n".join([first, *lines, b"", b""])
