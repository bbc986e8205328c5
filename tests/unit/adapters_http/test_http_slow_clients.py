"""Senders that take their time, idle or leave: each is given up in time, and nobody else waits for them."""

import json
import select
import socket
import time
from collections.abc import Iterator

import pytest

from http_replica import HttpReplica, exchange, http_replica
from penstock.adapters.http import protocol, server
from served_models import PIXELS, served
from waiting import wait_for

INFER = "/v2/models/digits/infer"
GOOD = json.dumps({"inputs": [{"name": "pixels", "shape": [1, 64], "datatype": "FP32", "data": [0.5] * 64}]}).encode()
HEAD = b"POST " + INFER.encode() + b" HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(GOOD)

TIMEOUT_SECONDS = 1.5


@pytest.fixture(scope="module")
def replica() -> Iterator[HttpReplica]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(server, "KEEP_ALIVE_SECONDS", 1)
        with http_replica(PIXELS, timeout_seconds=TIMEOUT_SECONDS) as running:
            running.slot.current = served(3)
            yield running


def test_a_body_that_never_ends_is_given_up_and_nobody_else_waits(replica: HttpReplica) -> None:
    head = b"POST " + INFER.encode() + b" HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(GOOD)
    with socket.create_connection(("127.0.0.1", replica.port), timeout=60) as slow:
        slow.sendall(head + GOOD[:10])
        assert replica.infer(GOOD)[0] == 200
        assert select.select([slow], [], [], 0)[0] == [], "the other one was answered only once this one was given up"
        answer = b"".join(iter(lambda: slow.recv(4096), b""))
    assert answer.startswith(b"HTTP/1.1 408")
    assert b"did not arrive within 1.5 s" in answer


@pytest.mark.parametrize("path", [INFER, "/v2/models/digits/versions/3/infer", "/v2/repository/index"])
@pytest.mark.parametrize(
    "more", [b"Content-Length: 9", b"Transfer-Encoding: chunked", b"Content-Length: 9\r\nExpect: 100-continue"]
)
def test_a_body_of_which_nothing_comes_is_given_up(replica: HttpReplica, path: str, more: bytes) -> None:
    with socket.create_connection(("127.0.0.1", replica.port), timeout=20) as silent:
        silent.sendall(b"POST %s HTTP/1.1\r\nHost: x\r\n%s\r\n\r\n" % (path.encode(), more))
        answer = b"".join(iter(lambda: silent.recv(4096), b""))
    assert answer.removeprefix(b"HTTP/1.1 100 Continue\r\n\r\n").startswith(b"HTTP/1.1 408")
    assert b"did not arrive within 1.5 s" in answer


def test_a_body_that_comes_late_but_in_time_is_answered(replica: HttpReplica) -> None:
    head = HEAD.replace(b"\r\n\r\n", b"\r\nExpect: 100-continue\r\n\r\n")
    with socket.create_connection(("127.0.0.1", replica.port), timeout=20) as connection:
        connection.sendall(head)
        assert connection.recv(4096).startswith(b"HTTP/1.1 100")  # so that the replica waits for the body
        connection.sendall(GOOD)
        assert connection.recv(4096).startswith(b"HTTP/1.1 200")


def test_connections_that_idle_or_are_half_closed_hold_nobody_up(replica: HttpReplica) -> None:
    idle = [socket.create_connection(("127.0.0.1", replica.port), timeout=60) for _ in range(400)]
    for number, one in enumerate(idle):
        if number % 3 == 0:
            one.sendall(b"POST /v2/models/digits/infer HTTP/1.1\r\nHos")
        elif number % 3 == 1:
            one.shutdown(socket.SHUT_WR)
    connection = replica.connect()
    for _ in range(20):
        assert exchange(connection, "POST", INFER, GOOD)[0] == 200
    connection.close()
    for one in idle:
        one.close()


@pytest.mark.parametrize("pieces", [[HEAD + GOOD], [HEAD, GOOD]], ids=["whole", "in pieces"])
def test_a_client_that_has_said_all_still_gets_its_answer(replica: HttpReplica, pieces: list[bytes]) -> None:
    with socket.create_connection(("127.0.0.1", replica.port), timeout=60) as half_closed:
        half_closed.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for piece in pieces:
            half_closed.sendall(piece)
        half_closed.shutdown(socket.SHUT_WR)
        answer = b"".join(iter(lambda: half_closed.recv(4096), b""))
    assert answer.startswith(b"HTTP/1.1 200")
    assert b'"model_version":"3"' in answer


def test_a_client_that_stops_in_the_middle_is_let_go(replica: HttpReplica) -> None:
    with socket.create_connection(("127.0.0.1", replica.port), timeout=60) as half_closed:
        half_closed.sendall(HEAD + GOOD[:100])
        half_closed.shutdown(socket.SHUT_WR)
        assert half_closed.recv(4096) == b""


@pytest.mark.parametrize("served_before", [False, True])
def test_a_head_that_comes_byte_by_byte_is_given_up(replica: HttpReplica, served_before: bool) -> None:
    with socket.create_connection(("127.0.0.1", replica.port), timeout=60) as slow:
        if served_before:
            slow.sendall(HEAD + GOOD)
            assert slow.recv(4096).startswith(b"HTTP/1.1 200")
        slow.settimeout(0.05)
        slow.sendall(b"POST /v2 HTTP/1.1\r\nX-Slow: ")
        began = time.monotonic()

        def is_closed() -> bool:
            try:
                slow.sendall(b"a")
                return slow.recv(100) == b""
            except TimeoutError:
                return False
            except OSError:
                return True

        wait_for(is_closed, "it is closed", every_seconds=0.01)
        assert time.monotonic() - began > 0.5


def test_a_client_that_sends_on_though_it_was_refused_is_let_go(
    replica: HttpReplica, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(protocol, "LINGER_SECONDS", 0.2)
    with socket.create_connection(("127.0.0.1", replica.port), timeout=60) as refused:
        refused.sendall(b"this is not HTTP\r\n\r\n")
        assert b"".join(iter(lambda: refused.recv(4096), b"")).startswith(b"HTTP/1.1 400")

        def is_closed() -> bool:
            try:
                refused.sendall(b"a")
            except OSError:
                return True
            return False

        wait_for(is_closed, "it is closed", every_seconds=0.01)


def test_a_client_that_asks_now_and_then_stays_connected(replica: HttpReplica) -> None:
    connection = replica.connect()
    for _ in range(5):
        assert exchange(connection, "POST", INFER, GOOD)[0] == 200
        time.sleep(0.25)
    connection.close()
