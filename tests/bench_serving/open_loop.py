"""Requests at fixed times, whatever becomes of those before; a late answer makes the next ones late, too.

`python open_loop.py PORT PATH RATE SECONDS JSON_BYTES|- < BODY` writes to standard output, for every request, when it
was to begin (monotonic seconds) and how long after that its answer was there (seconds), as float64 pairs; to standard
error how many answers were no answers.
"""

import os
import socket
import struct
import sys
import time

SPIN_SECONDS = 0.0003
"""A timer wakes that late; the rest of a pause is waited for awake."""
FIRST_SECONDS = 1.0
"""Not written down."""


class Connection:
    """HTTP/1.1 with Content-Length, and nothing else."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=10)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def exchange(self, request: bytes) -> tuple[bool, bytes]:
        """True if the status is 200, and the answer with its head."""
        self._socket.sendall(request)
        received = self._socket.recv(65536)
        while (end := received.find(b"\r\n\r\n")) < 0:
            received += self._more()
        at = received.find(b"content-length: ") + 16
        length = end + 4 + int(received[at : received.find(b"\r", at)])
        while len(received) < length:
            received += self._more()
        return received.startswith(b"HTTP/1.1 200"), received

    def _more(self) -> bytes:
        more = self._socket.recv(65536)
        if not more:
            raise ConnectionError("closed by the server")
        return more


def request_of(path: str, body: bytes, json_bytes: int | None = None) -> bytes:
    """The bytes of a POST."""
    kind = "Content-Type: application/json"
    if json_bytes is not None:
        kind = f"Content-Type: application/octet-stream\r\nInference-Header-Content-Length: {json_bytes}"
    return f"POST {path} HTTP/1.1\r\nHost: bench\r\n{kind}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


def main(port: int, path: str, rate: float, seconds: float, json_bytes: int | None, body: bytes) -> None:
    """Ask for so long after the first second."""
    request, connection = request_of(path, body, json_bytes), Connection(port)
    _before_others()
    count = int(rate * (seconds + FIRST_SECONDS))
    times: list[tuple[float, float]] = []
    num_errors = 0
    began = time.monotonic()
    for number in range(count):
        due = began + number / rate
        pause = due - time.monotonic() - SPIN_SECONDS
        if pause > 0:
            time.sleep(pause)
        while time.monotonic() < due:
            pass
        ok, _ = connection.exchange(request)
        times.append((due, time.monotonic() - due))
        num_errors += not ok
    kept = [pair for pair in times if pair[0] - began >= FIRST_SECONDS]
    sys.stdout.buffer.write(b"".join(struct.pack("2d", *pair) for pair in kept))
    print(num_errors, file=sys.stderr)


def _before_others() -> None:
    """On the client's core the broker and whoever appends updates work, too: that is not the server's doing."""
    try:
        os.nice(-15)
    except PermissionError:
        return


if __name__ == "__main__":
    main(
        int(sys.argv[1]),
        sys.argv[2],
        float(sys.argv[3]),
        float(sys.argv[4]),
        None if sys.argv[5] == "-" else int(sys.argv[5]),
        sys.stdin.buffer.read(),
    )
