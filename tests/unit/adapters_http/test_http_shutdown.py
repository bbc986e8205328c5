"""The end of a replica: not ready at once, what is in flight is answered, connections are closed behind it."""

import json
import socket
import threading
from typing import Any

import pytest

from http_replica import http_replica
from served_models import PIXELS, served
from waiting import wait_for

GOOD = json.dumps({"inputs": [{"name": "pixels", "shape": [1, 64], "datatype": "FP32", "data": [0.5] * 64}]}).encode()
HEAD = b"POST /v2/models/digits/infer HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(GOOD)


class Held:
    """A served model whose pass begins, and ends when it may."""

    def __init__(self) -> None:
        self.begun, self.may_end = threading.Event(), threading.Event()
        self._served = served(1)

    def __enter__(self) -> None:
        """Begin a test."""

    def __exit__(self, *_: object) -> None:
        """However a test ends, nobody waits for it."""
        self.may_end.set()

    def probabilities(self, columns: Any) -> Any:
        self.begun.set()
        assert self.may_end.wait(60)
        return self._served.probabilities(columns)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._served, name)


@pytest.mark.parametrize("pieces", [[HEAD + GOOD], [HEAD, GOOD]], ids=["whole", "in pieces"])
def test_what_is_in_flight_is_answered_and_its_connection_closed(pieces: list[bytes]) -> None:
    model = Held()
    with http_replica(PIXELS) as replica, model:
        replica.slot.current = model  # type: ignore[assignment]  # a served model that is held
        with socket.create_connection(("127.0.0.1", replica.port), timeout=60) as waiting:
            waiting.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for piece in pieces:
                waiting.sendall(piece)
            assert model.begun.wait(60)
            assert replica.loop is not None
            replica.loop.call_soon_threadsafe(replica.plane.drain)
            wait_for(lambda: replica.get("/v2/health/ready")[0] == 503, "it is not ready", every_seconds=0.01)
            assert replica.get("/v2/health/live")[0] == 200
            replica.loop.call_soon_threadsafe(replica.server.stop)
            wait_for(lambda: not listens(replica.port), "it takes no more connections", every_seconds=0.01)
            model.may_end.set()
            answer = b"".join(iter(lambda: waiting.recv(4096), b""))
        head, _, body = answer.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200")
        assert b"connection: close" in head
        assert json.loads(body)["model_version"] == "1"


def listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=60).close()
    except OSError:
        return False
    return True


def test_a_body_that_has_not_come_when_the_grace_is_over_is_answered_503() -> None:
    with http_replica(PIXELS, grace_seconds=0.05) as replica:
        replica.slot.current = served(1)
        with socket.create_connection(("127.0.0.1", replica.port), timeout=60) as slow:
            slow.sendall(HEAD + GOOD[:10])
            assert replica.infer(GOOD)[0] == 200  # the slow one was read before
            assert replica.loop is not None
            replica.loop.call_soon_threadsafe(replica.server.stop)
            answer = b"".join(iter(lambda: slow.recv(4096), b""))
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 503")
    assert b"connection: close" in head.lower()
    assert "shut down" in json.loads(body)["error"]
