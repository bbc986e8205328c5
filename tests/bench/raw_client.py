"""One keep-alive connection asked as fast as it answers, with as little client as Python allows.

`python raw_client.py PORT PATH SECONDS < BODY` prints one JSON object: requests, errors, and latencies in milliseconds.
"""

import json
import socket
import sys
import time

WARM_UP_REQUESTS = 300


class Connection:
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
    """The bytes of a POST."""
    head = (
        f"POST {path} HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def main(port: int, path: str, seconds: float, body: bytes) -> dict[str, float]:
    """Ask for so long; a lost connection counts as an error and ends it."""
    request, connection = request_of(path, body), Connection(port)
    for _ in range(WARM_UP_REQUESTS):
        connection.exchange(request)
    latencies: list[float] = []
    errors = 0
    versions: set[str] = set()
    began = time.perf_counter()
    end = began + seconds
    before = began
    while before < end:
        try:
            ok, answer = connection.exchange(request)
        except OSError:
            errors += 1
            break
        now = time.perf_counter()
        latencies.append(now - before)
        before = now
        if ok:
            versions.add(answer[:80].partition(b'"model_version":"')[2].partition(b'"')[0].decode())
        else:
            errors += 1
    latencies.sort()
    return {
        "requests": len(latencies),
        "requests_per_second": len(latencies) / (before - began),
        "errors": errors,
        "versions": len(versions),
        "p50_ms": latencies[len(latencies) // 2] * 1000,
        "p99_ms": latencies[int(len(latencies) * 0.99)] * 1000,
        "slowest_ms": latencies[-1] * 1000,
    }


if __name__ == "__main__":
    print(json.dumps(main(int(sys.argv[1]), sys.argv[2], float(sys.argv[3]), sys.stdin.buffer.read())))
