"""Messages on a socket between two processes: a length, how many descriptors come along, and JSON."""

import os
import select
import socket
import struct
import time
from collections.abc import Sequence
from typing import Any

import msgspec

LENGTHS = struct.Struct("<II")
MOST_DESCRIPTORS = 64
"""With one message; Linux grants 253 (`SCM_MAX_FD`)."""


class Channel:
    """One end of a socket of a pair. Not thread-safe."""

    def __init__(self, connected: socket.socket, heard: Any) -> None:
        """`heard` is the type of the messages that are read here."""
        self._socket = connected
        self._decode = msgspec.json.Decoder(heard).decode

    def send(self, message: msgspec.Struct, descriptors: Sequence[int] = ()) -> None:
        """Send a message and at most `MOST_DESCRIPTORS` of descriptors, which are closed here.

        Raises:
            BrokenPipeError: nobody is at the other end any more.
        """
        try:
            content = msgspec.json.encode(message)
            whole = LENGTHS.pack(len(content), len(descriptors)) + content
            # as far as the socket has room at once: whoever sees a message begin waits for its end, however long the
            # sender must wait for a core
            sent = socket.send_fds(self._socket, [whole], list(descriptors))
            self._socket.sendall(whole[sent:])
        finally:
            for descriptor in descriptors:
                os.close(descriptor)

    def is_readable(self, deadline: float) -> bool:
        """Wait until `deadline` (monotonic seconds) for a message to begin, or for the other end to go."""
        waiting = select.poll()  # select() knows no descriptor beyond 1,023, and a replica has many connections
        waiting.register(self._socket, select.POLLIN)
        return bool(waiting.poll(1000 * max(deadline - time.monotonic(), 0.0)))

    def receive(self) -> tuple[Any, Sequence[int]]:
        """The next message and its descriptors, which are the caller's to close.

        Raises:
            EOFError: nobody is at the other end any more.
            OSError: this process may not open as many files as were sent.
        """
        try:
            lengths, descriptors, _, _ = socket.recv_fds(self._socket, LENGTHS.size, MOST_DESCRIPTORS)
            if len(lengths) < LENGTHS.size:  # they are sent at once, and so small that they come at once
                raise EOFError
            length, count = LENGTHS.unpack(lengths)
            content = self._read(length)
        except ConnectionResetError:
            raise EOFError from None
        if count != len(descriptors):
            for descriptor in descriptors:
                os.close(descriptor)
            raise OSError(f"{count} files were sent and {len(descriptors)} came; this process may open no more")
        return self._decode(content), descriptors

    def close(self) -> None:
        """Let the other end know that this one has gone."""
        self._socket.close()

    def _read(self, num_bytes: int) -> bytearray:
        content = bytearray(num_bytes)
        rest = memoryview(content)
        while rest:
            count = self._socket.recv_into(rest)
            if not count:
                raise EOFError
            rest = rest[count:]
        return content
