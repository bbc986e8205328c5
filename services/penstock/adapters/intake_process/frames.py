"""Frames on a pipe: two lengths, a JSON word, and the bytes of a record batch if there is one. Commands: lines."""

import os
import select
import struct
import threading
from typing import Any

import msgspec

from penstock.adapters.intake_process.messages import Command, Word

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


class CommandWriter:
    """Writes commands, from any thread, and never waits: what the pipe does not take now waits here.

    Whoever reads them may be writing a frame that we do not read yet; if each waited for the other, none would go on.
    """

    def __init__(self, descriptor: int) -> None:
        os.set_blocking(descriptor, False)
        self.descriptor = descriptor
        self._lock = threading.Lock()
        self._waiting = bytearray()

    @property
    def has_more(self) -> bool:
        """True while something waits for `write_more`."""
        return bool(self._waiting)

    def write(self, command: Command) -> None:
        """Send a command behind those that wait. If nobody reads any more it is dropped."""
        line = msgspec.json.encode(command) + b"\n"
        with self._lock:
            self._waiting += line
            self._write()

    def write_more(self) -> None:
        """Send of what waits as much as the pipe takes."""
        with self._lock:
            self._write()

    def _write(self) -> None:
        while self._waiting:
            try:
                del self._waiting[: os.write(self.descriptor, self._waiting)]
            except BlockingIOError:
                return
            except BrokenPipeError:
                self._waiting.clear()


class FrameReader:
    """Reads whole frames."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        self._decode = msgspec.json.Decoder(Word).decode

    def is_readable(self, timeout_seconds: float) -> bool:
        """Waits until a frame has begun to arrive, or the writer has gone."""
        return bool(select.select([self.descriptor], [], [], max(timeout_seconds, 0.0))[0])

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
            count = os.readv(self.descriptor, [rest])
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
