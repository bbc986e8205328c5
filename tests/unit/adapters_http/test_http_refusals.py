"""What cannot be answered: unknown paths and versions, no model yet, a full queue, a replica that ends."""

import json
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from http_replica import HttpReplica, exchange, http_replica
from served_models import PIXELS, served
from waiting import wait_for

GOOD = {"name": "pixels", "shape": [1, 64], "datatype": "FP32", "data": [0.5] * 64}


@pytest.fixture(scope="module")
def replica() -> Iterator[HttpReplica]:
    with http_replica(PIXELS) as running:
        running.slot.current = served(3)
        yield running


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
