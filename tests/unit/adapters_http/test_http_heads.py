"""How long a head may be, and what else is neither that nor a body."""

import json
import socket
from collections.abc import Iterator

import pytest

from http_replica import HttpReplica, http_replica
from penstock.adapters.http.last_words import MAX_HEAD_BYTES
from served_models import PIXELS, served

INFER = b"/v2/models/digits/infer"
GOOD = json.dumps({"inputs": [{"name": "pixels", "shape": [1, 64], "datatype": "FP32", "data": [0.5] * 64}]}).encode()
REQUEST = b"POST %b HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%b" % (INFER, len(GOOD), GOOD)
CHUNKED = b"POST %b HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n" % INFER
BEGIN, END = b"GET /v2 HTTP/1.1\r\nX: ", b"\r\nConnection: close\r\n\r\n"
MUCH = b"a" * (8 * MAX_HEAD_BYTES)


@pytest.fixture(scope="module")
def replica() -> Iterator[HttpReplica]:
    with http_replica(PIXELS) as running:
        running.slot.current = served(3)
        yield running


def answer_to(replica: HttpReplica, *pieces: bytes) -> bytes:
    """All that comes until the replica closes the connection."""
    with socket.create_connection(("127.0.0.1", replica.port), timeout=60) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for piece in pieces:
            connection.sendall(piece)
        return b"".join(iter(lambda: connection.recv(65_536), b""))


@pytest.mark.parametrize(
    "pieces",
    [
        [BEGIN, MUCH],
        [BEGIN + MUCH],
        [BEGIN + MUCH + END],
        [b"GET /", MUCH],
        [b"GET /v2 HTTP/1.1\r\n" + b"a: b\r\n" * 50_000],
        [b"\r\n" * MAX_HEAD_BYTES],
        [REQUEST, BEGIN, MUCH],
        [CHUNKED, b"0\r\n", b"a: b\r\n" * 50_000],
        [CHUNKED, b"1\r\n \r\n", b"1;", MUCH],
    ],
    ids=[
        "a line without end",
        "in one piece",
        "that ends",
        "a path",
        "many lines",
        "empty lines",
        "behind another request",
        "behind a body",
        "behind the length of a chunk",
    ],
)
def test_a_head_that_is_too_long_is_refused_and_nobody_else_notices(replica: HttpReplica, pieces: list[bytes]) -> None:
    head, _, body = answer_to(replica, *pieces).rpartition(b"\r\n\r\n")
    refusal = head[head.rindex(b"HTTP/1.1 ") :]
    assert refusal.startswith(b"HTTP/1.1 431")
    assert str(MAX_HEAD_BYTES) in json.loads(body)["error"]
    assert b"content-type: application/json" in refusal
    assert b"connection: close" in refusal
    assert head.count(b"HTTP/1.1 200") == pieces.count(REQUEST)
    assert replica.infer(GOOD)[0] == 200


@pytest.mark.parametrize("cut", [None, 10, 40_000])
@pytest.mark.parametrize(("more", "status"), [(0, b"200"), (100, b"431")])
def test_a_head_of_just_the_limit_is_read(replica: HttpReplica, more: int, status: bytes, cut: int | None) -> None:
    message = BEGIN + b"a" * (MAX_HEAD_BYTES + more - len(BEGIN + END)) + END
    pieces = [message] if cut is None else [message[:cut], message[cut:]]
    assert answer_to(replica, *pieces).startswith(b"HTTP/1.1 " + status)


def test_neither_other_requests_nor_bodies_count(replica: HttpReplica) -> None:
    many = 2 * MAX_HEAD_BYTES // len(REQUEST)
    padded = CHUNKED + b"%x\r\n%b\r\n" % (len(GOOD), GOOD) + b"1\r\n \r\n" * 20_000 + b"0\r\n\r\n"
    last = REQUEST.replace(b"\r\n\r\n", END, 1)
    assert answer_to(replica, REQUEST * many, padded, last).count(b"HTTP/1.1 200") == many + 2


@pytest.mark.parametrize(
    "good",
    [REQUEST, REQUEST.replace(b"/infer", b"/versions/3/infer"), b"GET /v2 HTTP/1.1\r\nHost: x\r\n\r\n"],
    ids=["the short way", "a version", "a page"],
)
def test_a_good_request_is_answered_before_what_is_not_http_behind_it(replica: HttpReplica, good: bytes) -> None:
    said = answer_to(replica, good * 2 + b"\x16\x03\x01 this is not HTTP\r\n\r\n")
    assert said.count(b"HTTP/1.1 200") == 2
    assert said.rindex(b"HTTP/1.1 200") < said.index(b"HTTP/1.1 400")
    assert said.endswith(b'{"error": "This is not an HTTP/1.1 request."}')
