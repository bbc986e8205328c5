"""The Open Inference Protocol over HTTP: what a replica answers to good requests."""

import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from golden import probabilities_by_torch
from http_replica import HttpReplica, exchange, http_replica
from penstock import __version__
from served_models import MIXED, PIXELS, served, update_of

ROWS = np.random.default_rng(7).normal(size=(3, 64)).astype(np.float32)
GOLDEN = probabilities_by_torch(update_of(3), ROWS).numpy()


@pytest.fixture(scope="module")
def replica() -> Iterator[HttpReplica]:
    with http_replica(PIXELS) as running:
        running.slot.current = served(3)
        yield running


@pytest.fixture(scope="module")
def mixed() -> Iterator[HttpReplica]:
    with http_replica(MIXED) as running:
        running.slot.current = served(2, MIXED)
        yield running


def pixels(data: object, shape: list[int], datatype: str = "FP32", **more: object) -> dict[str, object]:
    return {"inputs": [{"name": "pixels", "shape": shape, "datatype": datatype, "data": data}], **more}


def data_of(answer: dict[str, Any], name: str) -> Any:
    return next(output["data"] for output in answer["outputs"] if output["name"] == name)


def mixed_inputs(**replaced: dict[str, object]) -> dict[str, object]:
    inputs: dict[str, dict[str, object]] = {
        "amount": {"shape": [2], "datatype": "FP32", "data": [1.5, -2]},
        "x": {"shape": [2, 3], "datatype": "FP32", "data": [1, 2, 3, 4, 5, 6]},
        "country": {"shape": [2], "datatype": "BYTES", "data": ["de", "unseen"]},
        "note": {"shape": [2], "datatype": "BYTES", "data": ["some words", ""]},
    }
    return {"inputs": [{"name": name} | inputs[name] | replaced.get(name, {}) for name in inputs]}


def test_answers_are_those_of_torch(replica: HttpReplica) -> None:
    status, answer = replica.infer(
        pixels(ROWS.ravel().tolist(), [3, 64], outputs=[{"name": "probabilities"}, {"name": "label"}])
    )
    assert status == 200
    (probabilities, label) = answer["outputs"]
    assert probabilities["name"] == "probabilities"
    assert probabilities["shape"] == [3, 5]
    assert probabilities["datatype"] == "FP32"
    assert probabilities["parameters"] == {"labels": ["c0", "c1", "c2", "c3", "c4"]}
    np.testing.assert_allclose(np.reshape(probabilities["data"], (3, 5)), GOLDEN, rtol=0, atol=1e-6)
    assert label == {
        "name": "label",
        "datatype": "BYTES",
        "shape": [3],
        "data": [f"c{index}" for index in GOLDEN.argmax(axis=1)],
    }


def test_without_outputs_label_and_probability_are_answered(replica: HttpReplica) -> None:
    status, answer = replica.infer(pixels(ROWS.tolist(), [3, 64]))
    assert status == 200
    assert [output["name"] for output in answer["outputs"]] == ["label", "probability"]
    np.testing.assert_allclose(data_of(answer, "probability"), GOLDEN.max(axis=1), rtol=0, atol=1e-6)


def test_an_answer_names_the_weights_that_gave_it(replica: HttpReplica) -> None:
    status, answer = replica.infer(pixels(ROWS.tolist(), [3, 64], id="abc-1"))
    assert status == 200
    assert (answer["model_name"], answer["model_version"], answer["id"]) == ("digits", "3", "abc-1")
    assert answer["parameters"] == {"trained_until": "2023-11-14T22:13:20.003Z", "sha256": update_of(3).sha256}


def test_without_an_id_none_is_answered(replica: HttpReplica) -> None:
    assert "id" not in replica.infer(pixels(ROWS.tolist(), [3, 64]))[1]


@pytest.mark.parametrize("suffix", ["", "/versions/3"])
def test_the_served_version_answers_under_its_number_too(replica: HttpReplica, suffix: str) -> None:
    assert replica.infer(pixels(ROWS.tolist(), [3, 64]), suffix)[0] == 200


@pytest.mark.parametrize(
    ("datatype", "data"),
    [
        ("FP64", [0.5] * 64),
        ("FP16", [0.5] * 64),
        ("INT8", [-3] * 64),
        ("INT64", [1] * 64),
        ("UINT8", [255] * 64),
        ("UINT64", [7] * 64),
        ("BOOL", [True, False] * 32),
    ],
)
def test_every_numeric_datatype_is_taken_where_its_values_fit(
    replica: HttpReplica, datatype: str, data: list[float]
) -> None:
    status, answer = replica.infer(pixels(data, [1, 64], datatype, outputs=[{"name": "probabilities"}]))
    assert status == 200
    expected = probabilities_by_torch(update_of(3), [[float(value) for value in data]]).numpy()
    np.testing.assert_allclose([data_of(answer, "probabilities")], expected, rtol=0, atol=1e-6)


def test_integers_in_json_are_numbers(replica: HttpReplica) -> None:
    assert replica.infer(pixels([1] * 64, [1, 64]))[0] == 200


def test_more_rows_than_one_pass_takes_are_answered_in_order(replica: HttpReplica) -> None:
    rows = np.random.default_rng(1).normal(size=(150, 64)).astype(np.float32).round(3)
    status, answer = replica.infer(pixels(rows.tolist(), [150, 64], outputs=[{"name": "probabilities"}]))
    assert status == 200
    expected = probabilities_by_torch(update_of(3), rows).numpy()
    np.testing.assert_allclose(np.reshape(data_of(answer, "probabilities"), (150, 5)), expected, rtol=0, atol=1e-6)


def test_columns_of_every_kind_are_read(mixed: HttpReplica) -> None:
    status, answer = mixed.infer(mixed_inputs())
    assert status == 200
    assert len(data_of(answer, "label")) == 2


def test_each_column_changes_the_answer(mixed: HttpReplica) -> None:
    def probabilities(**replaced: dict[str, object]) -> Any:
        status, answer = mixed.infer(mixed_inputs(**replaced) | {"outputs": [{"name": "probabilities"}]})
        assert status == 200, answer
        return data_of(answer, "probabilities")

    plain = probabilities()
    assert probabilities(amount={"data": [9, 9]}) != plain
    assert probabilities(x={"data": [0, 0, 0, 1, 1, 1]}) != plain
    assert probabilities(country={"data": ["fr", "fr"]}) != plain
    assert probabilities(note={"data": ["other", "words"]}) != plain


@pytest.mark.parametrize(
    ("name", "values"), [("amount", [1.5, -2]), ("country", ["de", "unseen"]), ("note", ["some words", ""])]
)
def test_a_single_column_may_be_sent_as_n_by_1(mixed: HttpReplica, name: str, values: list[object]) -> None:
    flat = mixed.infer(mixed_inputs())[1]["outputs"]
    for data in ([[value] for value in values], values):
        changed: dict[str, dict[str, object]] = {name: {"shape": [2, 1], "data": data}}
        status, answer = mixed.infer(mixed_inputs(**changed))
        assert status == 200, answer
        assert answer["outputs"] == flat


def test_the_server_says_what_it_is(replica: HttpReplica) -> None:
    extensions = ["binary_tensor_data", "classification", "model_repository"]
    assert replica.get("/v2") == (200, {"name": "penstock", "version": __version__, "extensions": extensions})
    assert replica.get("/v2/health/live") == (200, {"live": True})
    assert replica.get("/v2/health/ready") == (200, {"ready": True})


@pytest.mark.parametrize("path", ["/v2/models/digits", "/v2/models/digits/versions/3"])
def test_metadata_describes_what_is_served(replica: HttpReplica, path: str) -> None:
    assert replica.get(f"{path}/ready") == (200, {"name": "digits", "ready": True})
    status, metadata = replica.get(path)
    age = time.time() - update_of(3).trained_until_ms / 1000
    assert metadata["parameters"].pop("staleness_seconds") == pytest.approx(age, abs=60)
    assert (status, metadata) == (
        200,
        {
            "name": "digits",
            "versions": ["3"],
            "platform": "penstock_pytorch",
            "inputs": [{"name": "pixels", "datatype": "FP32", "shape": [-1, 64]}],
            "outputs": [
                {"name": "label", "datatype": "BYTES", "shape": [-1]},
                {"name": "probability", "datatype": "FP32", "shape": [-1]},
                {"name": "probabilities", "datatype": "FP32", "shape": [-1, 5]},
            ],
            "parameters": {
                "trained_until": "2023-11-14T22:13:20.003Z",
                "sha256": update_of(3).sha256,
                "epoch": 1,
                "withdrawn": False,
            },
        },
    )


def test_a_withdrawn_model_is_flagged_and_answers(replica: HttpReplica) -> None:
    replica.slot.withdrawn = True
    try:
        assert replica.get("/v2/models/digits")[1]["parameters"]["withdrawn"] is True
        assert replica.infer(pixels(ROWS.tolist(), [3, 64]))[0] == 200
    finally:
        replica.slot.withdrawn = False


def test_metrics_count_requests(replica: HttpReplica) -> None:
    value = replica.telemetry.value
    names = ("penstock_request_seconds_count", "penstock_inference_rows_count", "penstock_inference_rows_sum")
    before = [value(name) for name in names]
    good, bad = (value("penstock_requests_total", code=code) for code in ("200", "400"))
    assert replica.infer(pixels(ROWS.tolist(), [3, 64]))[0] == 200
    assert replica.infer(pixels(ROWS.tolist(), [3, 63]))[0] == 400
    assert value("penstock_requests_total", code="200") == good + 1
    assert value("penstock_requests_total", code="400") == bad + 1
    assert [value(name) for name in names] == [before[0] + 1, before[1] + 1, before[2] + 3]
    assert 0 < value("penstock_request_seconds_sum") < 120
    status, text = replica.get("/metrics")
    assert status == 200
    assert b'penstock_requests_total{code="200"}' in text
    assert b"penstock_request_seconds_bucket" in text


def test_one_connection_serves_many_requests(replica: HttpReplica) -> None:
    connection = replica.connect()
    for _ in range(20):
        assert exchange(connection, "GET", "/v2/health/ready")[0] == 200
    connection.close()
