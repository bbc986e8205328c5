"""How large a body may be, and whatever else a client may put on the wire around it."""

import json
import socket
from collections.abc import Iterator

import pytest

from http_replica import HttpReplica, http_replica
from served_models import PIXELS, served

GOOD = {"name": "pixels", "shape": [1, 64], "datatype": "FP32", "data": [0.5] * 64}
MAX_BODY_BYTES = 100_000


@pytest.fixture(scope="module")
def replica() -> Iterator[HttpReplica]:
    with http_replica(PIXELS, max_body_bytes=MAX_BODY_BYTES) as running:
        running.slot.current = served(3)
        yield running


def with_input(**changes: object) -> bytes:
    return json.dumps({"inputs": [GOOD | changes]}).encode()


@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize("times", [1.1, 3, 20])
def test_a_body_that_is_too_large_is_answered_413(replica: HttpReplica, chunked: bool, times: float) -> None:
    body = b" " * int(MAX_BODY_BYTES * times)
    connection = replica.connect()
    try:
        connection.request(
            "POST",
            "/v2/models/digits/infer",
            iter([body[at : at + 8192] for at in range(0, len(body), 8192)]) if chunked else body,
            encode_chunked=chunked,
        )
    except (BrokenPipeError, ConnectionResetError):
        assert times > 4  # nobody reads on for ever
    else:
        response = connection.getresponse()
        assert response.status == 413
        assert str(MAX_BODY_BYTES) in json.loads(response.read())["error"]
    connection.close()
    assert replica.infer({"inputs": [GOOD]})[0] == 200


@pytest.mark.parametrize(("times", "expect"), [(5, b""), (1.1, b"Expect: 100-continue\r\n")])
def test_a_body_announced_as_too_large_need_not_be_sent(replica: HttpReplica, times: float, expect: bytes) -> None:
    length = int(MAX_BODY_BYTES * times)
    head = b"POST /v2/models/digits/infer HTTP/1.1\r\nHost: x\r\n%sContent-Length: %d\r\n\r\n" % (expect, length)
    with socket.create_connection(("127.0.0.1", replica.port), timeout=20) as connection:
        connection.sendall(head)
        answer = b"".join(iter(lambda: connection.recv(4096), b""))
    assert answer.startswith(b"HTTP/1.1 413")
    assert b"connection: close" in answer.lower()


@pytest.mark.parametrize("pieces", [1, 2])
def test_an_offer_of_another_protocol_is_passed_over(replica: HttpReplica, pieces: int) -> None:
    """As Java's client makes it with every first request of a connection."""
    body = with_input()
    head = (
        b"POST /v2/models/digits/infer HTTP/1.1\r\nConnection: Upgrade, HTTP2-Settings\r\nHost: x\r\n"
        b"HTTP2-Settings: AAEAAEAAAAIAAAAB\r\nUpgrade: h2c\r\nContent-Length: %d\r\n\r\n" % len(body)
    )
    with socket.create_connection(("127.0.0.1", replica.port), timeout=20) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for _ in range(2):
            for piece in [head + body] if pieces == 1 else [head, body]:
                connection.sendall(piece)
            assert connection.recv(65_536).startswith(b"HTTP/1.1 200")


def test_what_looks_like_an_offer_within_a_body_stays_in_it(replica: HttpReplica) -> None:
    body = b"\r\nUpgrade: h2c\r\n\r\n"
    head = b"POST /v2/models/digits/infer HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: %d\r\n\r\n"
    with socket.create_connection(("127.0.0.1", replica.port), timeout=20) as connection:
        connection.sendall(head % len(body))
        assert connection.recv(4096).startswith(b"HTTP/1.1 100")  # so that the body is read apart from the head
        connection.sendall(body)
        assert connection.recv(4096).startswith(b"HTTP/1.1 400")


def test_a_body_of_just_the_limit_is_read(replica: HttpReplica) -> None:
    body = with_input()
    assert replica.infer(body + b" " * (MAX_BODY_BYTES - len(body)))[0] == 200


def test_bytes_that_are_not_http_get_an_error_too(replica: HttpReplica) -> None:
    with socket.create_connection(("127.0.0.1", replica.port), timeout=60) as connection:
        connection.sendall(b"\x16\x03\x01 this is not HTTP\r\n\r\n")
        answer = b"".join(iter(lambda: connection.recv(4096), b""))
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400")
    assert list(json.loads(body)) == ["error"]


def test_a_client_that_leaves_in_the_middle_harms_nobody(replica: HttpReplica) -> None:
    body = with_input()
    head = b"POST /v2/models/digits/infer HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(body)
    for cut in (0, 5, len(head), len(head) + 10, len(head) + len(body)):
        with socket.create_connection(("127.0.0.1", replica.port), timeout=60) as connection:
            connection.sendall((head + body)[:cut])
    assert replica.infer({"inputs": [GOOD]})[0] == 200
