"""While versions are swapped under load, every answer is one version's, and a connection never goes back."""

import json
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from golden import probabilities_by_torch
from http_replica import HttpReplica, NoFetcher, exchange, http_replica
from penstock.clock import SystemClock
from penstock.flow import Claim, LogRecord
from penstock.serving.builder import ModelBuilder
from penstock.serving.updater import Updater
from served_models import CPU, PIXELS, QueuedFeed, corrupt, update_of
from waiting import wait_for

ROWS = np.random.default_rng(5).normal(size=(4, 64)).astype(np.float32)
NUM_LEARNT = 4
GOLDEN = [probabilities_by_torch(update_of(version), ROWS).numpy() for version in range(1, NUM_LEARNT + 1)]


@pytest.fixture
def following() -> Iterator[tuple[HttpReplica, QueuedFeed]]:
    feed = QueuedFeed([update_of(1)])
    with http_replica(PIXELS, max_queued_requests=1000) as replica:
        updater = Updater(
            feed,
            replica.slot,
            ModelBuilder(PIXELS, device=CPU, fetcher=NoFetcher(), batch_sizes=replica.batcher.batch_sizes),
            model=PIXELS.name,
            telemetry=replica.telemetry,
            clock=SystemClock(),
            give_up=lambda error: None,
        )
        updater.start()
        wait_for(lambda: replica.slot.current, "the first model is served", every_seconds=0.002)
        yield replica, feed
        updater.close()


class Caller(threading.Thread):
    """Asks over one connection until told to stop; keeps what went wrong."""

    def __init__(self, replica: HttpReplica, num_rows: int) -> None:
        super().__init__()
        self.problems: list[str] = []
        self.versions: list[int] = []
        self.stopped = threading.Event()
        self._connection = replica.connect()
        self._num_rows = num_rows
        tensor = {"name": "pixels", "shape": [num_rows, 64], "datatype": "FP32", "data": ROWS[:num_rows].tolist()}
        self._body = json.dumps({"inputs": [tensor], "outputs": [{"name": "probabilities"}]}).encode()

    def run(self) -> None:
        while not self.stopped.is_set() and not self.problems:
            status, answer, _ = exchange(self._connection, "POST", "/v2/models/digits/infer", self._body)
            self._check(status, answer)
        self._connection.close()

    def wait_for_answers(self, count: int = 1) -> None:
        """Until so many more have come, or one was wrong."""
        wanted = len(self.versions) + count
        wait_for(lambda: len(self.versions) >= wanted or self.problems, "answers go on", every_seconds=0.001)

    def _check(self, status: int, answer: Any) -> None:
        if status != 200:
            self.problems.append(f"{status}: {answer}")
            return
        version = int(answer["model_version"])
        if self.versions and version < self.versions[-1]:
            self.problems.append(f"went back from {self.versions[-1]} to {version}")
        self.versions.append(version)
        if answer["parameters"]["sha256"] != update_of(version).sha256:
            self.problems.append(f"version {version} named the sha256 of another")
        expected = GOLDEN[(version - 1) % NUM_LEARNT][: self._num_rows]
        given_back = np.reshape(answer["outputs"][0]["data"], expected.shape)
        if not np.allclose(given_back, expected, rtol=0, atol=1e-5):
            self.problems.append(f"version {version} answered with other weights")


def test_every_answer_is_of_one_version_while_versions_are_swapped(following: tuple[HttpReplica, QueuedFeed]) -> None:
    replica, feed = following
    callers = [Caller(replica, num_rows) for num_rows in (1, 2, 3, 4, 1, 2)]
    for caller in callers:
        caller.start()
    for version in range(2, 62):
        feed.append(corrupt(update_of(version)) if version % 7 == 0 else update_of(version))
        if version % 5 == 0:
            feed.append(update_of(version - 3), Claim(epoch=1, holder="a"))
            wait_for(lambda: any(version - 1 <= caller.versions[-1] for caller in callers if caller.versions), "asked")  # noqa: B023 - called here
        callers[0].wait_for_answers(2)
    wait_for(lambda: replica.slot.current is not None and replica.slot.current.version == 61, "the last is served")
    reached = [len(caller.versions) for caller in callers]
    wait_for(
        lambda: all(len(caller.versions) > count for caller, count in zip(callers, reached, strict=True)), "asked on"
    )
    for caller in callers:
        caller.stopped.set()
        caller.join(60)
        assert caller.problems == []
        assert caller.versions[-1] == 61
    assert len({version for caller in callers for version in caller.versions}) > 10
    assert replica.telemetry.value("penstock_requests_total", code="200") == sum(len(c.versions) for c in callers)


RECORDS: st.SearchStrategy[LogRecord] = st.one_of(
    st.builds(update_of, st.integers(1, 30), epoch=st.integers(1, 3)),
    st.builds(lambda version: corrupt(update_of(version)), st.integers(1, 30)),
    st.builds(lambda epoch: Claim(epoch=epoch, holder="x"), st.integers(1, 3)),
)


@settings(max_examples=15, deadline=None)
@given(st.lists(st.lists(RECORDS, min_size=1, max_size=4), min_size=1, max_size=8))
def test_whatever_is_appended_a_connection_never_goes_back(batches: list[list[LogRecord]]) -> None:
    with http_replica(PIXELS) as replica:
        feed = QueuedFeed([update_of(1)])
        updater = Updater(
            feed,
            replica.slot,
            ModelBuilder(PIXELS, device=CPU, fetcher=NoFetcher()),
            model=PIXELS.name,
            telemetry=replica.telemetry,
            clock=SystemClock(),
            give_up=lambda error: None,
        )
        updater.start()
        wait_for(lambda: replica.slot.current, "the first model is served", every_seconds=0.001)
        caller = Caller(replica, 2)
        caller.start()
        for records in batches:
            feed.append(*records)
            caller.wait_for_answers()
        caller.wait_for_answers(3)
        caller.stopped.set()
        caller.join(60)
        updater.close()
        assert caller.problems == []
