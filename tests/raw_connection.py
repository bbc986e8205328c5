"""One keep-alive connection to a replica with as little client as Python allows, for benchmarks."""

import socket
import time

PATIENCE_SECONDS = 10.0


class RawConnection:
    """HTTP/1.1 with Content-Length, and nothing else."""

    def __init__(self, port: int, *, awake: bool = False) -> None:
        """An `awake` one asks for its answer over and over instead of sleeping until it is there."""
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_SECONDS)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._awake = awake

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

    def _more(self) -> bytes:
        more = self._received_awake() if self._awake else self._socket.recv(65536)
        if not more:
            raise ConnectionError("closed by the server")
        return more

    def _received_awake(self) -> bytes:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            try:
                return self._socket.recv(65536, socket.MSG_DONTWAIT)
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise TimeoutError(f"no answer for {PATIENCE_SECONDS:g} s") from None


def request_of(path: str, body: bytes) -> bytes:
    """The bytes of a POST of JSON."""
    head = (
        f"POST {path} HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body
