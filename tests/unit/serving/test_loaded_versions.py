"""Old versions on demand: fetched once, kept while they are asked for, and never in anybody's way."""

import json
import threading
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from golden import probabilities_by_torch
from http_replica import HttpReplica, http_replica
from penstock.errors import UnavailableError
from penstock.serving import loaded_versions
from penstock.serving.ports import ArchivedVersion
from served_models import PIXELS, corrupt, served, update_of
from waiting import wait_for

ROWS = np.random.default_rng(8).normal(size=(3, 64)).astype(np.float32)
QUESTION = {
    "inputs": [{"name": "pixels", "shape": [3, 64], "datatype": "FP32", "data": ROWS.ravel().tolist()}],
    "outputs": [{"name": "probabilities"}],
}


class Shelf:
    """`serving.ports.VersionArchive` in memory: versions 1 to 6; counts what is read, and waits if told to."""

    def __init__(self) -> None:
        self.reads: list[int] = []
        self.open = threading.Event()
        self.open.set()
        self.is_away = False
        self.bad: set[int] = set()

    def read(self, version: int) -> ArchivedVersion | None:
        self.reads.append(version)
        assert self.open.wait(60)
        if self.is_away:
            raise UnavailableError("MLflow is away.")
        if version > 6:
            return None
        update = update_of(version)
        update = corrupt(update) if version in self.bad else replace(update, mlflow_run_id="run")
        return ArchivedVersion(update=update, mlflow_version=str(version + 100))


@pytest.fixture
def shelf() -> Shelf:
    return Shelf()


@pytest.fixture
def replica(shelf: Shelf) -> Iterator[HttpReplica]:
    with http_replica(PIXELS, archive=shelf, load_on_demand=2, resident_versions=1, timeout_seconds=10) as running:
        running.slot.current = served(9)
        yield running
        shelf.open.set()


def test_a_recorded_version_answers_and_says_which_it_is(replica: HttpReplica, shelf: Shelf) -> None:
    for _ in range(3):
        status, answer = replica.infer(QUESTION, "/versions/2")
        assert status == 200
        assert answer["model_version"] == "2"
        assert answer["parameters"]["mlflow_version"] == "102"
        expected = probabilities_by_torch(update_of(2), ROWS).numpy().ravel()
        np.testing.assert_allclose(answer["outputs"][0]["data"], expected, rtol=0, atol=1e-6)
    assert shelf.reads == [2]
    assert replica.get("/v2/models/digits/versions/3/ready")[0] == 200
    assert replica.get("/v2/models/digits/versions/4")[1]["parameters"]["mlflow_version"] == "104"
    assert replica.infer(QUESTION)[1]["model_version"] == "9"


def test_only_so_many_are_kept_and_the_least_recently_asked_for_leaves(replica: HttpReplica, shelf: Shelf) -> None:
    for version in (1, 2, 1, 3, 1, 2):
        assert replica.infer(QUESTION, f"/versions/{version}")[0] == 200
    assert shelf.reads == [1, 2, 3, 2]
    assert replica.get("/v2/models/digits")[1]["versions"] == ["1", "2", "9"]
    index = replica.ask("POST", "/v2/repository/index")[1]
    assert [line["version"] for line in index] == ["1", "2", "9"]


@pytest.mark.parametrize("version", ["77", "0", "-1", "01", "1.0", "x", "٣", "9" * 30])
def test_what_is_not_recorded_is_404_and_not_looked_for_again_and_again(
    replica: HttpReplica, shelf: Shelf, version: str
) -> None:
    for _ in range(3):
        status, answer = replica.infer(QUESTION, f"/versions/{quoted(version)}")
        assert status == 404
        assert "is not recorded" in answer["error"]
    assert shelf.reads == ([77] if version == "77" else [])


def quoted(version: str) -> str:
    return "".join(f"%{byte:02x}" for byte in version.encode())


def test_an_archive_that_is_away_is_503_and_a_bad_version_is_404_until_they_are_good(
    replica: HttpReplica, shelf: Shelf
) -> None:
    shelf.is_away = True
    status, answer = replica.infer(QUESTION, "/versions/1")
    assert (status, answer["error"]) == (503, "Version 1 cannot be fetched from MLflow now; try again later.")
    shelf.is_away = False
    assert replica.infer(QUESTION, "/versions/1")[0] == 200
    shelf.bad = {2}
    status, answer = replica.infer(QUESTION, "/versions/2")
    assert status == 404
    assert "sha256" in answer["error"]


def test_many_who_wait_for_one_version_have_it_fetched_once_and_hold_up_nobody_else(
    replica: HttpReplica, shelf: Shelf
) -> None:
    shelf.open.clear()
    answers: list[Any] = []
    waiting = [
        threading.Thread(target=lambda: answers.append(replica.infer(QUESTION, "/versions/1"))) for _ in range(5)
    ]
    for thread in waiting:
        thread.start()
    wait_for(lambda: shelf.reads, "the version is being fetched", every_seconds=0.002)
    assert replica.infer(QUESTION)[0] == 200
    shelf.open.set()
    for thread in waiting:
        thread.join(60)
    assert [status for status, _ in answers] == [200] * 5
    assert shelf.reads == [1]


def test_no_more_than_so_many_wait_for_the_archive(
    replica: HttpReplica, shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loaded_versions, "MAX_WAITING", 1)
    shelf.open.clear()
    first = threading.Thread(target=lambda: replica.infer(QUESTION, "/versions/1"))
    first.start()
    wait_for(lambda: shelf.reads, "the version is being fetched", every_seconds=0.002)
    status, answer, headers = replica.ask("POST", "/v2/models/digits/versions/2/infer", json.dumps(QUESTION).encode())
    assert (status, headers["retry-after"]) == (503, "1")
    assert "being fetched already" in answer["error"]
    shelf.open.set()
    first.join(60)


def test_whoever_waits_too_long_is_answered_504_and_the_version_comes_all_the_same(shelf: Shelf) -> None:
    with http_replica(PIXELS, archive=shelf, load_on_demand=1, timeout_seconds=0.2) as replica:
        replica.slot.current = served(9)
        shelf.open.clear()
        status, answer = replica.infer(QUESTION, "/versions/1")
        assert status == 504
        assert "still being fetched" in answer["error"]
        shelf.open.set()
        wait_for(lambda: replica.infer(QUESTION, "/versions/1")[0] == 200, "it answers", every_seconds=0.02)
        assert shelf.reads == [1]
