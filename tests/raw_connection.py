"""One keep-alive connection to a replica with as little client as Python allows, for benchmarks."""

import select
import socket
import struct
import time

PATIENCE_SECONDS = 10.0
SO_TIMESTAMPING = 37
STAMPS = 1 << 1 | 1 << 3 | 1 << 4 | 1 << 11
"""By software, of what is sent and of what is received, without its bytes. Linux's `asm-generic/socket.h` and
`linux/net_tstamp.h`; Python has no names for them."""
TIMESPEC = struct.Struct("qq")
SAID_BYTES = 512
STAMPS_FROM_SECONDS = 1.0
"""After it was asked to: the kernel begins with it in a worker of its own, and until then this clock must do."""


class RawConnection:
    """HTTP/1.1 with Content-Length, and nothing else."""

    def __init__(self, port: int, *, stamped: bool = False) -> None:
        """A `stamped` one has the system (Linux) write down when its requests leave and its answers come."""
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_SECONDS)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._stamped = stamped
        self._came = 0
        self._began = time.monotonic()
        if stamped:
            self._socket.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPING, STAMPS)
            self._left = select.poll()
            self._left.register(self._socket, 0)  # errors, as which stamps of what left are told, always count

    def exchange(self, request: bytes) -> tuple[bool, bytes]:
        """True if the status is 200, and the body."""
        self._socket.sendall(request)
        received = self._more()
        while (end := received.find(b"\r\n\r\n")) < 0:
            received += self._more()
        at = received.find(b"content-length: ") + 16
        length = end + 4 + int(received[at : received.find(b"\r", at)])
        while len(received) < length:
            received += self._more()
        return received.startswith(b"HTTP/1.1 200"), received[end + 4 :]

    def took_seconds(self) -> float:
        """From when the last byte of a `stamped` one's last request left to when that of its answer came.

        Whatever else this machine does on the caller's core is not counted. To be asked once for each request.
        """
        left = self._came
        while self._left.poll(0):
            _, said, _, _ = self._socket.recvmsg(0, SAID_BYTES, socket.MSG_ERRQUEUE)
            left = self._stamp_of(said)
        return (self._came - left) / 1e9

    def _more(self) -> bytes:
        if self._stamped:
            more, said, _, _ = self._socket.recvmsg(65536, SAID_BYTES)
        else:
            more = self._socket.recv(65536)
        if not more:
            raise ConnectionError("closed by the server")
        if self._stamped:
            self._came = self._stamp_of(said)
        return more

    def _stamp_of(self, said: list[tuple[int, int, bytes]]) -> int:
        """Nanoseconds by the wall clock."""
        for level, kind, content in said:
            if (level, kind) == (socket.SOL_SOCKET, SO_TIMESTAMPING):
                seconds, nanoseconds = TIMESPEC.unpack_from(content)
                return int(seconds * 1_000_000_000 + nanoseconds)
        if time.monotonic() < self._began + STAMPS_FROM_SECONDS:
            return time.time_ns()
        raise LookupError("the system does not say when bytes leave and come")


def request_of(path: str, body: bytes) -> bytes:
    """The bytes of a POST of JSON."""
    head = (
        f"POST {path} HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body
