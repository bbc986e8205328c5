"""Parameters of a request and of its outputs, old versions, and the repository index."""

import json
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from golden import probabilities_by_torch
from http_replica import HttpReplica, http_replica
from penstock.serving.slot import ServedModel, Slot
from served_models import MIXED, PIXELS, served, update_of
from waiting import wait_for

ROWS = np.random.default_rng(8).normal(size=(3, 64)).astype(np.float32)
GOLDEN = probabilities_by_torch(update_of(3), ROWS).numpy()
TENSOR = {"name": "pixels", "shape": [3, 64], "datatype": "FP32", "data": ROWS.ravel().tolist()}


@pytest.fixture(scope="module")
def replica() -> Iterator[HttpReplica]:
    with http_replica(PIXELS, resident_versions=2) as running:
        for version in (1, 2, 3):
            running.slot.current = served(version)
        yield running


def outputs_of(replica: HttpReplica, **more: object) -> dict[str, Any]:
    status, answer = replica.infer({"inputs": [TENSOR], **more})
    assert status == 200, answer
    return {output["name"]: output for output in answer["outputs"]}


@pytest.mark.parametrize(("asked", "got"), [(1, 1), (3, 3), (5, 5), (99, 5)])
def test_top_k_names_the_likeliest_classes_in_order(replica: HttpReplica, asked: int, got: int) -> None:
    outputs = outputs_of(replica, parameters={"top_k": asked})
    best = np.argsort(-GOLDEN, axis=1)[:, :got]
    assert outputs["label"]["shape"] == outputs["probability"]["shape"] == [3, got]
    assert outputs["label"]["data"] == [f"c{index}" for index in best.ravel()]
    np.testing.assert_allclose(
        outputs["probability"]["data"], np.take_along_axis(GOLDEN, best, axis=1).ravel(), rtol=0, atol=1e-6
    )


def test_an_output_s_own_top_k_comes_before_the_request_s(replica: HttpReplica) -> None:
    outputs = outputs_of(
        replica,
        parameters={"top_k": 2},
        outputs=[{"name": "label", "parameters": {"top_k": 4}}, {"name": "probability"}, {"name": "probabilities"}],
    )
    assert [outputs[name]["shape"] for name in ("label", "probability", "probabilities")] == [[3, 4], [3, 2], [3, 5]]


def test_parameters_that_mean_nothing_here_are_accepted(replica: HttpReplica) -> None:
    ignored = {"sequence_id": 4, "priority": 10**400, "mine": "x", "binary_data_output": False, "timeout": 0}
    plain, other = outputs_of(replica), outputs_of(replica, parameters=ignored)
    assert plain == other


@pytest.mark.parametrize(
    ("more", "fragments"),
    [
        ({"parameters": {"top_k": 0}}, ["'top_k' of the request is 0", "at least 1"]),
        ({"parameters": {"top_k": "3"}}, ["'top_k' of the request is '3'"]),
        ({"parameters": {"top_k": True}}, ["is True"]),
        ({"parameters": {"timeout": -5}}, ["'timeout'", "-5", "microseconds"]),
        ({"parameters": {"binary_data_output": 1}}, ["'binary_data_output' of the request is 1", "true or false"]),
        ({"parameters": {"binary_data_output": "1"}}, ["'binary_data_output' of the request is '1'"]),
        ({"outputs": [{"name": "label", "parameters": {"binary_data": 0}}]}, ["'binary_data' of output 'label' is 0"]),
        ({"outputs": [{"name": "label", "parameters": {"top_k": 1.5}}]}, ["output 'label' is 1.5"]),
        ({"outputs": [{"name": "probabilities", "parameters": {"top_k": 2}}]}, ["'probabilities'", "label and"]),
        ({"outputs": [{"name": "label", "parameters": {"classification": 2}}]}, ["'label'", "for probabilities"]),
    ],
)
def test_parameters_that_do_not_fit_are_named(
    replica: HttpReplica, more: dict[str, object], fragments: list[str]
) -> None:
    status, answer = replica.infer({"inputs": [TENSOR], **more})
    assert status == 400
    for fragment in fragments:
        assert fragment in answer["error"]


@pytest.mark.parametrize("digits", [20, 310, 400, 4299])
def test_a_timeout_or_a_top_k_beyond_every_float_is_one_without_a_limit(replica: HttpReplica, digits: int) -> None:
    outputs = outputs_of(replica, parameters={"timeout": 10**digits, "top_k": 10**digits})
    assert outputs["label"]["shape"] == [3, 5]


def test_only_the_last_versions_stay(replica: HttpReplica) -> None:
    assert replica.infer({"inputs": [TENSOR]}, "/versions/2")[1]["parameters"]["sha256"] == update_of(2).sha256
    status, answer = replica.infer({"inputs": [TENSOR]}, "/versions/1")
    assert (status, answer) == (404, {"error": "Version '1' of model 'digits' is not served; 2, 3 answer."})
    assert replica.get("/v2/models/digits/versions/2")[1]["versions"] == ["2", "3"]


@pytest.mark.parametrize("kept", [1, 2, 3])
def test_the_slot_keeps_no_more_than_told(kept: int) -> None:
    slot = Slot(resident_versions=kept)
    models = [served(version) for version in (1, 2, 3, 4)]
    for model in models:
        slot.current = model
        assert slot.newest() is model
    assert list(slot.residents) == models[-kept:]


def test_the_index_lists_what_answers(replica: HttpReplica) -> None:
    lines = [{"name": "digits", "version": version, "state": "READY", "reason": ""} for version in ("2", "3")]
    for body in (None, b"", b"{}", b'{"ready": true}', b'{"repository_name": "", "ready": false}'):
        assert replica.ask("POST", "/v2/repository/index", body)[:2] == (200, lines)
    for body in (b"[]", b'{"ready": 1}', b"{", b"\xff", b"[" * 100_000):
        status, answer, _ = replica.ask("POST", "/v2/repository/index", body)
        assert status == 400
        assert list(answer) == ["error"]
    assert replica.get("/v2/repository/index")[0] == 405


def test_a_model_that_has_not_arrived_is_in_the_index_with_the_reason() -> None:
    with http_replica(PIXELS) as empty:
        (line,) = empty.ask("POST", "/v2/repository/index")[1]
        assert (line["name"], line["state"]) == ("digits", "UNAVAILABLE")
        assert "No model has arrived" in line["reason"]
        assert empty.ask("POST", "/v2/repository/index", b'{"ready": true}')[1] == []


def test_a_category_may_be_an_integer_or_a_boolean() -> None:
    columns: list[dict[str, object]] = [
        {"name": "amount", "shape": [1], "datatype": "FP32", "data": [1]},
        {"name": "x", "shape": [1, 3], "datatype": "FP32", "data": [1, 2, 3]},
        {"name": "note", "shape": [1], "datatype": "BYTES", "data": ["a"]},
    ]
    with http_replica(MIXED) as mixed:
        mixed.slot.current = served(2, MIXED)

        def answer(datatype: str, value: object) -> Any:
            country = {"name": "country", "shape": [1], "datatype": datatype, "data": [value]}
            body = {"inputs": [*columns, country], "outputs": [{"name": "probabilities"}]}
            status, given = mixed.infer(body)
            return given["outputs"] if status == 200 else (status, given["error"])

        assert answer("INT64", -7) == answer("BYTES", "-7") == answer("INT8", -7)
        assert answer("BOOL", True) == answer("BYTES", "true")
        assert answer("INT64", 3) != answer("BYTES", "4")
        assert answer("UINT8", 300)[0] == answer("FP32", 1)[0] == 400
        assert "integer datatype" in answer("FP32", 1)[1]


@pytest.mark.parametrize(
    ("parameters", "configured_seconds"), [({"timeout": 1000}, 30.0), ({}, 0.001), ({"timeout": 60_000_000}, 0.001)]
)
def test_a_request_that_waited_too_long_is_504_and_not_computed(
    parameters: dict[str, int], configured_seconds: float
) -> None:
    with http_replica(PIXELS, timeout_seconds=configured_seconds) as replica:
        slow = Held(served(3))
        replica.slot.current = slow  # type: ignore[assignment]  # a served model that waits
        body = json.dumps({"inputs": [TENSOR], "parameters": parameters}).encode()
        answers: list[Any] = []

        def be_computed() -> None:
            while not slow.busy.is_set():  # on a busy machine a millisecond may be over before
                replica.infer({"inputs": [TENSOR]})

        first = threading.Thread(target=be_computed)
        first.start()
        assert slow.busy.wait(60)
        second = threading.Thread(target=lambda: answers.append(replica.infer(body)))
        second.start()
        wait_for(lambda: replica.batcher._queue.qsize() == 1, "it waits", every_seconds=0.002)
        second.join(0.005)
        slow.go_on.set()
        second.join(60)
        first.join(60)
        assert answers[0][0] == 504
        assert "time was over" in answers[0][1]["error"]
        assert slow.passes == 1


class Held:
    """A served model that waits to be let go, and counts what it computes."""

    def __init__(self, model: ServedModel) -> None:
        self.busy, self.go_on, self.passes = threading.Event(), threading.Event(), 0
        self._model = model

    def probabilities(self, columns: Any) -> Any:
        self.busy.set()
        assert self.go_on.wait(60)
        self.passes += 1
        return self._model.probabilities(columns)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)
