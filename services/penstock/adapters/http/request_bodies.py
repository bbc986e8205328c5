"""The body of a request, whole and unpacked, within bounds of size and time."""

import asyncio
from collections.abc import Generator, Mapping
from typing import Any

from starlette.types import Message, Receive

from penstock.adapters.http.answers import SlowBodyError, UnknownEncodingError
from penstock.adapters.http.bodies import HEADER_LENGTH
from penstock.adapters.http.compression import NAMES, inflated
from penstock.serving.refusals import BadInputError, TooLargeError

DISCARD_FACTOR = 4
"""Of a body that is too large this many times the limit is read and thrown away, so that its sender hears why."""


class BodyReader:
    """Reads bodies of at most `max_bytes`, packed or not, that arrive within `timeout_seconds`."""

    def __init__(self, *, max_bytes: int, timeout_seconds: float) -> None:
        self._max_bytes = max_bytes
        self._timeout_seconds = timeout_seconds

    async def read(self, headers: Mapping[bytes, bytes], receive: Receive) -> bytes | None:
        """The whole body, unpacked, or None if the client went away before its end.

        Raises:
            TooLargeError, SlowBodyError, UnknownEncodingError, BadInputError: there is none to work with.
        """
        self._refuse_announced(headers)
        first = _FirstMessage(receive)
        body = self._joined([first.body]) if first.is_all else await self._rest(first, receive)
        if body is not None and b"content-encoding" in headers:
            return await self._unpacked(body, headers[b"content-encoding"].decode("latin-1").strip().lower())
        return body

    def _refuse_announced(self, headers: Mapping[bytes, bytes]) -> None:
        """What nobody would read to its end, or waits to be asked for, need not be sent first."""
        announced = int(headers.get(b"content-length", b"0"))  # digits: the parser has seen to that
        if announced > (1 if b"expect" in headers else DISCARD_FACTOR) * self._max_bytes:
            raise self._too_large()

    async def _rest(self, first: "_FirstMessage", receive: Receive) -> bytes | None:
        parts, num_bytes = [], 0
        try:
            async with asyncio.timeout(self._timeout_seconds):
                message = await first
                while message["type"] == "http.request":
                    num_bytes += len(message.get("body", b""))
                    if num_bytes <= self._max_bytes:
                        parts.append(message.get("body", b""))
                    if num_bytes > DISCARD_FACTOR * self._max_bytes or not message.get("more_body", False):
                        return self._joined(parts, num_bytes)
                    message = await receive()
        except TimeoutError:
            raise SlowBodyError(
                f"The body did not arrive within {self._timeout_seconds:g} s (serving.timeout_seconds)."
            ) from None
        return None

    def _joined(self, parts: list[bytes], num_bytes: int | None = None) -> bytes:
        if (len(parts[0]) if num_bytes is None else num_bytes) > self._max_bytes:
            raise self._too_large()
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _too_large(self) -> TooLargeError:
        return TooLargeError(
            f"The body is longer than {self._max_bytes} bytes; send fewer rows a request, "
            "or have serving.max_body_bytes raised."
        )

    async def _unpacked(self, body: bytes, encoding: str) -> bytes:
        if encoding in ("", "identity"):
            return body
        if encoding not in NAMES:
            raise UnknownEncodingError(
                f"The body's Content-Encoding is {encoding[:40]!r}; it is gzip, deflate or left out."
            )
        return await asyncio.to_thread(inflated, body, NAMES[encoding], self._max_bytes)


class _FirstMessage:
    """What `receive` gives first; mostly it is there already, and a clock would cost more than all else here."""

    def __init__(self, receive: Receive) -> None:
        self._steps = receive().__await__()
        self._message: Message | None = None
        try:
            self._waits_for = next(self._steps)
        except StopIteration as there:
            self._message = there.value

    @property
    def is_all(self) -> bool:
        """True if nobody need wait for more of the body."""
        message = self._message
        return message is not None and message["type"] == "http.request" and not message.get("more_body", False)

    @property
    def body(self) -> bytes:
        """The part that is there."""
        return b"" if self._message is None else self._message.get("body", b"")

    def __await__(self) -> Generator[Any, Any, Message]:
        if self._message is not None:
            return self._message
        try:
            yield self._waits_for
        except BaseException:  # nobody waits any longer
            self._steps.close()
            raise
        return (yield from self._steps)


def json_bytes(headers: Mapping[bytes, bytes], body: bytes) -> int | None:
    """How much of the body is JSON where binary tensors follow it; None: all of it.

    Raises:
        BadInputError: the header says what cannot be.
    """
    said = headers.get(_HEADER_LENGTH)
    if said is None:
        return None
    said = said.strip(b" \t")
    if not said.isdigit() or len(said) > 19 or int(said) > len(body):
        raise BadInputError(
            f"The header {HEADER_LENGTH} is {said[:40].decode('latin-1')!r}; it is a number of bytes, "
            f"at most the {len(body)} of the body."
        )
    return int(said)


_HEADER_LENGTH = HEADER_LENGTH.lower().encode()
