"""What a client may send that is wrong, and the sentence it gets: never a 500, always `{"error": …}`."""

import json
import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from http_replica import HttpReplica, exchange, http_replica
from served_models import MIXED, PIXELS, served
from waiting import wait_for

GOOD = {"name": "pixels", "shape": [1, 64], "datatype": "FP32", "data": [0.5] * 64}
MAX_BODY_BYTES = 100_000


@pytest.fixture(scope="module")
def replica() -> Iterator[HttpReplica]:
    with http_replica(PIXELS, max_body_bytes=MAX_BODY_BYTES) as running:
        running.slot.current = served(3)
        yield running


@pytest.fixture(scope="module")
def mixed() -> Iterator[HttpReplica]:
    with http_replica(MIXED) as running:
        running.slot.current = served(2, MIXED)
        yield running


def with_data(text: str) -> bytes:
    return json.dumps({"inputs": [GOOD | {"data": "@"}]}).replace('"@"', text).encode()


def with_input(**changes: object) -> bytes:
    return json.dumps({"inputs": [GOOD | changes]}).encode()


BODIES: dict[str, tuple[bytes, list[str]]] = {
    "empty": (b"", ["not JSON"]),
    "not JSON": (b"hello", ["not JSON"]),
    "cut off": (with_input()[:-9], ["not JSON"]),
    "more than one document": (with_input() * 2, ["not JSON"]),
    "not UTF-8": (with_input(name="\x00\x00").replace(b"\\u0000\\u0000", b"\xff\xfe"), ["not JSON", "utf-8"]),
    "nested without end": (b'{"parameters": {"a":' + b"[" * 50_000, ["not JSON", "nested too deeply"]),
    "data nested without end": (with_data("[" * 20_000 + "]" * 20_000), ["not JSON", "nested too deeply"]),
    "data nested deeply": (with_data("[" * 100 + "]" * 100), ["'pixels'", "data[0][0]", "[1, 64]"]),
    "a list": (b"[]", ["expected object, got array"]),
    "null": (b"null", ["expected object, got null"]),
    "no inputs": (b"{}", ["missing required field inputs"]),
    "inputs null": (b'{"inputs": null}', ["body.inputs", "expected array, got null"]),
    "no input": (b'{"inputs": []}', ["'pixels' is missing"]),
    "input not an object": (b'{"inputs": [3]}', ["body.inputs[0]", "expected object, got int"]),
    "no name": (b'{"inputs": [{"shape": [1], "datatype": "FP32", "data": [1]}]}', ["body.inputs[0]", "name"]),
    "no data": (b'{"inputs": [{"name": "pixels", "shape": [1, 64], "datatype": "FP32"}]}', ["data"]),
    "id not a string": (json.dumps({"id": 3, "inputs": [GOOD]}).encode(), ["body.id", "expected str"]),
    "unknown input": (json.dumps({"inputs": [GOOD, GOOD | {"name": "extra"}]}).encode(), ["'extra'", "'pixels'"]),
    "missing input": (with_input(name="pixel"), ["'pixels' is missing"]),
    "input twice": (json.dumps({"inputs": [GOOD, GOOD]}).encode(), ["'pixels' is given twice"]),
    "unknown datatype": (with_input(datatype="FLOAT"), ["'pixels'", "'FLOAT'", "FP32"]),
    "datatype of texts": (with_input(datatype="BYTES", data=["a"] * 64), ["'pixels'", "'BYTES'", "FP32"]),
    "shape not a list": (with_input(shape=64), ["shape", "expected array, got int"]),
    "shape of texts": (with_input(shape=["1", "64"]), ["shape[0]", "expected int, got str"]),
    "shape too short": (with_input(shape=[64]), ["'pixels' has shape [64]", "[n, 64]"]),
    "shape too wide": (with_input(shape=[1, 65], data=[0.5] * 65), ["[1, 65]", "[n, 64]"]),
    "shape transposed": (with_input(shape=[64, 1]), ["[64, 1]", "[n, 64]"]),
    "shape empty": (with_input(shape=[]), ["has shape []", "[n, 64]"]),
    "shape negative": (with_input(shape=[-1, 64]), ["[-1, 64]", "at least 1"]),
    "shape without rows": (with_input(shape=[0, 64], data=[]), ["[0, 64]", "at least 1"]),
    "shape enormous": (with_input(shape=[10**40, 64]), ["64 values"]),
    "too few values": (with_input(data=[0.5] * 63), ["63 values", "64"]),
    "too many values": (with_input(shape=[2, 64]), ["64 values", "128"]),
    "no values": (with_input(data=[]), ["0 values", "64"]),
    "nested otherwise": (with_input(data=[[0.5] * 32, [0.5] * 32]), ["'pixels'", "2 lists of 32", "[1, 64]"]),
    "nested raggedly": (with_input(shape=[2, 64], data=[[0.5] * 64, [0.5] * 63]), ["'pixels'", "63 or 64"]),
    "nested in threes": (with_input(data=[[[0.5] * 64]]), ["'pixels'", "[1, 64]"]),
    "partly nested": (with_input(data=[[0.5] * 64, 1]), ["'pixels'", "data[1]"]),
    "data a string": (with_input(data="0.5"), ["'pixels'", "expected array, got str"]),
    "data null": (with_input(data=None), ["'pixels'", "expected array, got null"]),
    "a string among numbers": (with_input(data=[0.5] * 63 + ["x"]), ["'pixels'", "data[63]", "float, got str"]),
    "null among numbers": (with_input(data=[None] + [0.5] * 63), ["'pixels'", "data[0]", "float, got null"]),
    "true among numbers": (with_input(data=[True] + [0.5] * 63), ["'pixels'", "data[0]", "float, got bool"]),
    "a string nested": (with_input(data=[[0.5] * 63 + ["x"]]), ["'pixels'", "data[0][63]", "float, got str"]),
    "NaN": (with_data("[" + "NaN, " * 63 + "1]"), ["'pixels'", "NaN or Infinity", "finite"]),
    "Infinity": (with_data("[" + "-Infinity, " * 63 + "1]"), ["'pixels'", "NaN or Infinity"]),
    "infinite by size": (with_data("[" + "1e999, " * 63 + "1]"), ["'pixels'", "data[0]", "out of range"]),
    "beyond FP32": (with_input(data=[1e39] * 64), ["'pixels'", "1e+39", "FP32"]),
    "beyond FP32 as FP64": (with_input(datatype="FP64", data=[1e300] * 64), ["'pixels'", "FP32"]),
    "beyond FP16": (with_input(datatype="FP16", data=[70000.0] * 64), ["'pixels'", "70000", "FP16"]),
    "beyond INT8": (with_input(datatype="INT8", data=[128] * 64), ["'pixels'", "128", "INT8"]),
    "below UINT8": (with_input(datatype="UINT8", data=[-1] * 64), ["'pixels'", "-1", "UINT8"]),
    "beyond INT64": (with_input(datatype="INT64", data=[2**80] * 64), ["'pixels'"]),
    "integer of 400 digits": (with_data("[" + "9" * 400 + ", 1" * 63 + "]"), ["'pixels'"]),
    "integer of 400 digits as INT64": (with_input(datatype="INT64", data=[10**400] * 64), ["'pixels'"]),
    "a fraction as INT32": (with_input(datatype="INT32", data=[1.5] * 64), ["'pixels'", "int", "float"]),
    "numbers as BOOL": (with_input(datatype="BOOL", data=[0.5] * 64), ["'pixels'", "bool", "float"]),
    "unknown output": (json.dumps({"inputs": [GOOD], "outputs": [{"name": "logits"}]}).encode(), ["'logits'", "label"]),
    "output twice": (json.dumps({"inputs": [GOOD], "outputs": [{"name": "label"}] * 2}).encode(), ["twice"]),
    "output not an object": (json.dumps({"inputs": [GOOD], "outputs": ["label"]}).encode(), ["body.outputs[0]"]),
    "a name without end": (with_input(name="n" * 50_000), ["'pixels' is missing"]),
}


@pytest.mark.parametrize("name", BODIES)
def test_a_bad_body_is_answered_400_with_a_sentence_that_names_what_is_wrong(replica: HttpReplica, name: str) -> None:
    body, fragments = BODIES[name]
    status, answer = replica.infer(body)
    assert status == 400, answer
    assert list(answer) == ["error"]
    for fragment in fragments:
        assert fragment in answer["error"]
    assert len(answer["error"]) < 500
    assert replica.infer({"inputs": [GOOD]})[0] == 200


MIXED_GOOD: dict[str, dict[str, object]] = {
    "amount": {"name": "amount", "shape": [2], "datatype": "FP32", "data": [1, 2]},
    "x": {"name": "x", "shape": [2, 3], "datatype": "FP32", "data": [1, 2, 3, 4, 5, 6]},
    "country": {"name": "country", "shape": [2], "datatype": "BYTES", "data": ["de", "fr"]},
    "note": {"name": "note", "shape": [2], "datatype": "BYTES", "data": ["a", "b"]},
}
MIXED_BODIES: dict[str, tuple[str, dict[str, object], list[str]]] = {
    "rows that differ": ("amount", {"shape": [3], "data": [1, 2, 3]}, ["'x' has 2 rows", "3"]),
    "a number as [n, 2]": ("amount", {"shape": [1, 2]}, ["'amount'", "[1, 2]", "[n] or [n, 1]"]),
    "a category as FP32": ("country", {"datatype": "FP32", "data": [1, 2]}, ["'country'", "FP32", "BYTES"]),
    "a text of numbers": ("note", {"data": [1, 2]}, ["'note'", "data[0]", "str, got int"]),
    "a text that is null": ("note", {"data": ["a", None]}, ["'note'", "data[1]", "str, got null"]),
}


@pytest.mark.parametrize("name", MIXED_BODIES)
def test_a_column_that_does_not_fit_is_named(mixed: HttpReplica, name: str) -> None:
    column, changes, fragments = MIXED_BODIES[name]
    inputs = [MIXED_GOOD[key] | (changes if key == column else {}) for key in MIXED_GOOD]
    status, answer = mixed.infer({"inputs": inputs})
    assert status == 400, answer
    for fragment in fragments:
        assert fragment in answer["error"]


def test_rows_that_overflow_the_model_are_the_callers_fault(mixed: HttpReplica) -> None:
    huge = MIXED_GOOD["x"] | {"data": [3e38] * 6}
    status, answer = mixed.infer({"inputs": [huge if key == "x" else MIXED_GOOD[key] for key in MIXED_GOOD]})
    assert status in (200, 400)
    if status == 400:
        assert "not finite" in answer["error"]


@pytest.mark.parametrize(
    ("method", "path", "status", "fragment"),
    [
        ("GET", "/", 404, "nothing at /"),
        ("GET", "/v2/", 404, "nothing at /v2/"),
        ("GET", "/v1/models/digits", 404, "nothing at"),
        ("GET", "/v2/models/other", 404, "'other'"),
        ("GET", "/v2/models/other/ready", 404, "'other'"),
        ("GET", "/v2/models/digits/versions/2", 404, "'2'"),
        ("GET", "/v2/models/digits/versions/2/ready", 404, "'2'"),
        ("GET", "/v2/models/digits/versions/03", 404, "'03'"),
        ("POST", "/v2/models/other/infer", 404, "'other'"),
        ("POST", "/v2/models/digits/versions/4/infer", 404, "'4'"),
        ("POST", "/v2/models/digits/versions/x%ff/infer", 404, "is not served"),
        ("GET", "/v2/models/digits/infer", 405, "GET is not allowed"),
        ("PUT", "/v2/models/digits/infer", 405, "PUT is not allowed"),
        ("DELETE", "/v2/models/digits", 405, "DELETE is not allowed"),
        ("POST", "/v2/health/ready", 405, "POST is not allowed"),
    ],
)
def test_unknown_paths_and_methods_are_named(
    replica: HttpReplica, method: str, path: str, status: int, fragment: str
) -> None:
    body = json.dumps({"inputs": [GOOD]}).encode() if method == "POST" else None
    answered, answer, headers = replica.ask(method, path, body)
    assert answered == status, answer
    assert list(answer) == ["error"]
    assert fragment in answer["error"]
    assert ("allow" in headers) == (status == 405)


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


def test_without_a_model_everything_but_life_is_503() -> None:
    with http_replica(PIXELS) as replica:
        assert replica.get("/v2/health/live")[0] == 200
        assert replica.get("/v2")[0] == 200
        for path in ("/v2/health/ready", "/v2/models/digits", "/v2/models/digits/ready"):
            status, answer = replica.get(path)
            assert status == 503
            assert "No model has arrived yet" in answer["error"]
        for body in ({"inputs": [GOOD]}, b"nonsense"):
            assert replica.infer(body)[0] == 503
        assert replica.get("/v2/models/other/ready")[0] == 404
        replica.slot.current = served(1)
        assert replica.get("/v2/health/ready")[0] == 200
        assert replica.infer({"inputs": [GOOD]})[0] == 200


def test_while_shutting_down_the_replica_is_not_ready_but_answers() -> None:
    with http_replica(PIXELS) as ending:
        ending.slot.current = served(1)
        ending.plane.drain()
        assert ending.get("/v2/health/ready")[0] == 503
        assert ending.get("/v2/models/digits/ready")[0] == 503
        assert ending.infer({"inputs": [GOOD]})[0] == 200


def test_a_full_queue_is_503_with_retry_after_and_what_waits_is_answered() -> None:
    with http_replica(PIXELS, max_queued_requests=2) as replica:
        slow = SlowModel()
        replica.slot.current = slow  # type: ignore[assignment]  # a served model that waits
        answers: list[tuple[int, Any, Any]] = []
        body = json.dumps({"inputs": [GOOD]}).encode()

        def ask() -> None:
            answers.append(replica.ask("POST", "/v2/models/digits/infer", body))

        threads = [threading.Thread(target=ask) for _ in range(8)]
        threads[0].start()
        wait_for(lambda: slow.is_busy, "the first request is computed", every_seconds=0.002)
        for thread in threads[1:]:
            thread.start()
        wait_for(lambda: len(answers) == 5, "five find the queue full", every_seconds=0.002)
        slow.go_on.set()
        for thread in threads:
            thread.join(60)
        assert sorted(status for status, _, _ in answers) == [200] * 3 + [503] * 5
        full = next((answer, headers) for status, answer, headers in answers if status == 503)
        assert "2 requests wait" in full[0]["error"]
        assert full[1]["retry-after"] == "1"
        assert replica.telemetry.value("penstock_requests_total", code="503") == 5


class SlowModel:
    """A served model that waits to be let go."""

    def __init__(self) -> None:
        self.go_on = threading.Event()
        self.is_busy = False
        self._served = served(1)

    def probabilities(self, columns: Any) -> Any:
        self.is_busy = True
        assert self.go_on.wait(60)
        return self._served.probabilities(columns)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._served, name)


def test_requests_in_flight_are_answered_before_the_server_ends() -> None:
    with http_replica(PIXELS) as replica:
        slow = SlowModel()
        replica.slot.current = slow  # type: ignore[assignment]  # a served model that waits
        connection = replica.connect()
        answers: list[int] = []
        asking = threading.Thread(
            target=lambda: answers.append(
                exchange(connection, "POST", "/v2/models/digits/infer", json.dumps({"inputs": [GOOD]}).encode())[0]
            )
        )
        asking.start()
        wait_for(lambda: slow.is_busy, "the request is computed", every_seconds=0.002)
        threading.Timer(0.3, slow.go_on.set).start()
        replica.stop()
        asking.join(60)
        assert answers == [200]
        connection.close()
