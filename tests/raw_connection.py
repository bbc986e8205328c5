"""One keep-alive connection to a replica with as little client as Python allows, for benchmarks."""

import socket


class RawConnection:
    """HTTP/1.1 with Content-Length, and nothing else."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=10)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def exchange(self, request: bytes) -> tuple[bool, bytes]:
        """True if the status is 200, and the body."""
        self._socket.sendall(request)
        received = self._socket.recv(65536)
        while (end := received.find(b"\r\n\r\n")) < 0:
            received += self._more()
        at = received.find(b"content-length: ") + 16
        length = end + 4 + int(received[at : received.find(b"\r", at)])
        while len(received) < length:
            received += self._more()
        return received.startswith(b"HTTP/1.1 200"), received[end + 4 :]

    def _more(self) -> bytes:
        more = self._socket.recv(65536)
        if not more:
            raise ConnectionError("closed by the server")
        return more


def request_of(path: str, body: bytes) -> bytes:
    """The bytes of a POST of JSON."""
    head = (
        f"POST {path} HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body
