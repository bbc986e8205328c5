"""`tritonclient[grpc]`, written by others, finds everything where the protocol says it is."""

import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import tritonclient.grpc as triton
from tritonclient.utils import InferenceServerException

from golden import probabilities_by_torch
from http_replica import HttpReplica, http_replica
from served_models import MIXED, PIXELS, served, update_of

ROWS = np.random.default_rng(11).normal(size=(5, 64)).astype(np.float32)
GOLDEN = probabilities_by_torch(update_of(3), ROWS).numpy()


@pytest.fixture(scope="module")
def replica() -> Iterator[HttpReplica]:
    with http_replica(PIXELS, grpc_port=0) as running:
        for version in (1, 2, 3):
            running.slot.current = served(version)
        yield running


@pytest.fixture(scope="module")
def client(replica: HttpReplica) -> Iterator[Any]:
    with triton.InferenceServerClient(f"127.0.0.1:{replica.grpc_port}") as connected:
        yield connected


def pixels(rows: Any, datatype: str = "FP32") -> Any:
    tensor = triton.InferInput("pixels", list(rows.shape), datatype)
    tensor.set_data_from_numpy(rows)
    return tensor


def wanted(*names: str, **more: Any) -> list[Any]:
    return [triton.InferRequestedOutput(name, **more) for name in names]


def test_raw_answers_are_those_of_the_model_bit_for_bit(client: Any) -> None:
    result = client.infer("digits", [pixels(ROWS)], outputs=wanted("probabilities", "label"), request_id="r-1")
    np.testing.assert_allclose(result.as_numpy("probabilities"), GOLDEN, rtol=0, atol=1e-6)
    np.testing.assert_array_equal(result.as_numpy("probabilities"), served(3).probabilities({"pixels": ROWS}))
    assert [label.decode() for label in result.as_numpy("label")] == [f"c{index}" for index in GOLDEN.argmax(axis=1)]
    answer = result.get_response()
    assert (answer.id, answer.model_name, answer.model_version) == ("r-1", "digits", "3")
    assert answer.parameters["sha256"].string_param == update_of(3).sha256
    assert answer.parameters["trained_until"].string_param == "2023-11-14T22:13:20.003Z"
    (probabilities, _) = answer.outputs
    assert json.loads(probabilities.parameters["labels"].string_param) == ["c0", "c1", "c2", "c3", "c4"]


@pytest.mark.parametrize("kind", ["float64", "float16", "int8", "int32", "int64", "uint8", "uint64", "bool"])
def test_every_numeric_datatype_is_read_raw(client: Any, kind: str) -> None:
    rows = np.random.default_rng(2).integers(0, 2, (3, 64)).astype(kind)
    datatype = {"float64": "FP64", "float16": "FP16"}.get(kind, kind.upper())
    result = client.infer("digits", [pixels(rows, datatype)], outputs=wanted("probabilities"))
    expected = probabilities_by_torch(update_of(3), rows.astype(np.float64)).numpy()
    np.testing.assert_allclose(result.as_numpy("probabilities"), expected, rtol=0, atol=1e-6)


def test_parameters_mean_what_they_mean_over_http(client: Any) -> None:
    result = client.infer("digits", [pixels(ROWS)], parameters={"top_k": 2, "mine": "x"})
    assert result.as_numpy("label").shape == result.as_numpy("probability").shape == (5, 2)
    result = client.infer("digits", [pixels(ROWS)], outputs=wanted("probabilities", class_count=1))
    assert result.as_numpy("probabilities")[0, 0].endswith(f":c{GOLDEN[0].argmax()}".encode())


def test_columns_of_every_kind_are_read_as_over_http() -> None:
    columns = {
        "amount": (np.array([1.5, -2.0]), "FP64"),
        "x": (np.array([[1, 2, 3], [4, 5, 6]], dtype=np.float32), "FP32"),
        "country": (np.array(["de", "überall"], dtype=object), "BYTES"),
        "note": (np.array(["some words", ""], dtype=object), "BYTES"),
    }
    with http_replica(MIXED, grpc_port=0) as replica:
        replica.slot.current = served(2, MIXED)
        inputs = []
        for name, (values, datatype) in columns.items():
            tensor = triton.InferInput(name, list(values.shape), datatype)
            inputs.append(tensor.set_data_from_numpy(values))
        with triton.InferenceServerClient(f"127.0.0.1:{replica.grpc_port}") as client:
            answer = client.infer("mixed", inputs, outputs=wanted("probabilities")).as_numpy("probabilities")
        body = [
            {"name": name, "shape": list(values.shape), "datatype": datatype, "data": values.tolist()}
            for name, (values, datatype) in columns.items()
        ]
        status, other = replica.infer({"inputs": body, "outputs": [{"name": "probabilities"}]})
        assert status == 200
        np.testing.assert_allclose(answer.ravel(), other["outputs"][0]["data"], rtol=0, atol=1e-7)


def test_old_versions_answer(client: Any) -> None:
    for version in ("1", "2", "3"):
        assert client.is_model_ready("digits", version)
        result = client.infer("digits", [pixels(ROWS)], version, outputs=wanted("probabilities"))
        expected = probabilities_by_torch(update_of(int(version)), ROWS).numpy()
        np.testing.assert_allclose(result.as_numpy("probabilities"), expected, rtol=0, atol=1e-6)


def test_the_server_and_its_index_are_found(client: Any) -> None:
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.get_server_metadata().name == "penstock"
    metadata = client.get_model_metadata("digits", as_json=True)
    assert metadata["versions"] == ["1", "2", "3"]
    assert metadata["platform"] == "penstock_pytorch"
    assert metadata["inputs"] == [{"name": "pixels", "datatype": "FP32", "shape": ["-1", "64"]}]
    assert metadata["outputs"][2] == {"name": "probabilities", "datatype": "FP32", "shape": ["-1", "5"]}
    lines = client.get_model_repository_index().models
    assert [(line.name, line.version, line.state) for line in lines] == [("digits", v, "READY") for v in "123"]


@pytest.mark.parametrize(
    ("model", "version", "rows", "code", "fragment"),
    [
        ("digits", "", ROWS[:, :5], "INVALID_ARGUMENT", "'pixels' has shape [5, 5]; expected is [n, 64]"),
        ("digits", "", ROWS * np.nan, "INVALID_ARGUMENT", "'pixels' holds nan"),
        ("digits", "9", ROWS, "NOT_FOUND", "'9' of model 'digits'"),
        ("other", "", ROWS, "NOT_FOUND", "no model 'other'"),
    ],
)
def test_an_error_is_a_status_with_the_sentence(
    client: Any, model: str, version: str, rows: Any, code: str, fragment: str
) -> None:
    with pytest.raises(InferenceServerException) as caught:
        client.infer(model, [pixels(rows)], version)
    assert caught.value.status() == f"StatusCode.{code}"
    assert fragment in caught.value.message()
