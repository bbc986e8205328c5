"""Frames on a pipe: two lengths, a JSON word, and the bytes of a record batch if there is one."""

import os
import select
import struct
from typing import Any

import msgspec

from penstock.adapters.intake_process.messages import Word

COUNTS = struct.Struct("<QQ")
"""Dead letters acknowledged, and refusals whose letters are: on a pipe of their own, so that any thread may read it."""
LENGTHS = struct.Struct("<II")
PIPE_BYTES = 1 << 20
"""What a pipe should hold: as much as Linux grants anybody, so that a micro-batch is written without waiting."""


class FrameWriter:
    """Writes whole frames, waiting while the pipe is full."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._encode = msgspec.json.Encoder().encode

    def write(self, word: Word, body: Any = b"") -> None:
        """Send a word and the buffer behind it.

        Raises:
            BrokenPipeError: nobody reads any more.
        """
        head, view = self._encode(word), memoryview(body).cast("B")
        self._write(memoryview(LENGTHS.pack(len(head), len(view)) + head))
        self._write(view)

    def _write(self, view: memoryview) -> None:
        while view:
            view = view[os.write(self._descriptor, view) :]


class FrameReader:
    """Reads whole frames."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._decode = msgspec.json.Decoder(Word).decode

    def is_readable(self, timeout_seconds: float) -> bool:
        """Waits until a frame has begun to arrive, or the writer has gone."""
        return bool(select.select([self._descriptor], [], [], max(timeout_seconds, 0.0))[0])

    def read(self) -> tuple[Word, bytearray] | None:
        """The next frame; None once the writer has gone."""
        lengths = self._read(LENGTHS.size)
        if lengths is None:
            return None
        head_bytes, body_bytes = LENGTHS.unpack(lengths)
        head, body = self._read(head_bytes), self._read(body_bytes)
        return None if head is None or body is None else (self._decode(head), body)

    def _read(self, num_bytes: int) -> bytearray | None:
        content = bytearray(num_bytes)
        rest = memoryview(content)
        while rest:
            count = os.readv(self._descriptor, [rest])
            if not count:
                return None
            rest = rest[count:]
        return content


def enlarge(descriptor: int) -> None:
    """Let the pipe hold a micro-batch or more, where the system can."""
    try:
        from fcntl import F_SETPIPE_SZ, fcntl  # on Linux only

        fcntl(descriptor, F_SETPIPE_SZ, PIPE_BYTES)
    except (ImportError, PermissionError):
        pass
