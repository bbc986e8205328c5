"""Many clients that have asked and may ask again: they cost little, and nobody else waits for them."""

import http.client
import json
import socket
import statistics
import time
from collections.abc import Iterator
from contextlib import ExitStack

import psutil
import pytest

from http_replica import HttpReplica, exchange, http_replica
from penstock.processes.open_files import allow_many
from served_models import PIXELS, served

INFER = "/v2/models/digits/infer"
GOOD = json.dumps({"inputs": [{"name": "pixels", "shape": [1, 64], "datatype": "FP32", "data": [0.5] * 64}]}).encode()
NUM_IDLE, MOST_BYTES_A_CONNECTION = 1000, 65_536
HEAD = b"POST " + INFER.encode() + b" HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(GOOD)


@pytest.fixture
def replica() -> Iterator[HttpReplica]:
    with http_replica(PIXELS) as running:
        running.slot.current = served(3)
        yield running


def test_a_thousand_idle_connections_cost_little_and_slow_nobody_down(replica: HttpReplica) -> None:
    assert allow_many() > 2 * NUM_IDLE + 100  # both ends are here
    resident = psutil.Process().memory_info().rss
    connection = replica.connect()
    alone = _median_seconds(connection)
    with ExitStack() as idle:
        for _ in range(NUM_IDLE):
            one = idle.enter_context(socket.create_connection(("127.0.0.1", replica.port), timeout=60))
            one.sendall(HEAD + GOOD)
            assert one.recv(4096).startswith(b"HTTP/1.1 200")
        beside_idle = _median_seconds(connection)
        grown = psutil.Process().memory_info().rss - resident
    connection.close()
    assert beside_idle < 10 * alone + 0.1
    assert grown < NUM_IDLE * MOST_BYTES_A_CONNECTION


def _median_seconds(connection: http.client.HTTPConnection) -> float:
    """Of one request after the other."""
    seconds = []
    for _ in range(50):
        began = time.monotonic()
        assert exchange(connection, "POST", INFER, GOOD)[0] == 200
        seconds.append(time.monotonic() - began)
    return statistics.median(seconds)
