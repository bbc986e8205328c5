"""`tritonclient[http]`, written by others, finds everything where the protocol says it is."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import tritonclient.http as triton
from tritonclient.utils import InferenceServerException

from golden import probabilities_by_torch
from http_replica import HttpReplica, http_replica
from served_models import MIXED, PIXELS, served, update_of

ROWS = np.random.default_rng(11).normal(size=(5, 64)).astype(np.float32)


@pytest.fixture(scope="module")
def replica() -> Iterator[HttpReplica]:
    with http_replica(PIXELS) as running:
        for version in (1, 2, 3):
            running.slot.current = served(version)
        yield running


@pytest.fixture(scope="module")
def client(replica: HttpReplica) -> Iterator[Any]:
    with triton.InferenceServerClient(f"127.0.0.1:{replica.port}") as connected:
        yield connected


def pixels(rows: Any, datatype: str = "FP32", *, binary: bool = True) -> Any:
    tensor = triton.InferInput("pixels", list(rows.shape), datatype)
    tensor.set_data_from_numpy(rows, binary_data=binary)
    return tensor


def wanted(*names: str, binary: bool = True, **more: Any) -> list[Any]:
    return [triton.InferRequestedOutput(name, binary_data=binary, **more) for name in names]


@pytest.mark.parametrize("binary_in", [False, True])
@pytest.mark.parametrize("binary_out", [False, True])
@pytest.mark.parametrize("packed", [None, "gzip", "deflate"])
def test_any_mixture_of_binary_json_and_compression_gives_the_same_answer(
    client: Any, binary_in: bool, binary_out: bool, packed: str | None
) -> None:
    result = client.infer(
        "digits",
        [pixels(ROWS, binary=binary_in)],
        outputs=wanted("probabilities", "label", binary=binary_out),
        request_id="r-1",
        request_compression_algorithm=packed,
        response_compression_algorithm=packed,
    )
    expected = probabilities_by_torch(update_of(3), ROWS).numpy()
    np.testing.assert_allclose(result.as_numpy("probabilities"), expected, rtol=0, atol=1e-6)
    labels = [value.decode() if binary_out else value for value in result.as_numpy("label").tolist()]
    assert labels == [f"c{index}" for index in expected.argmax(axis=1)]
    assert result.get_response()["id"] == "r-1"


def test_a_binary_answer_is_that_of_the_model_bit_for_bit(client: Any) -> None:
    result = client.infer("digits", [pixels(ROWS)], outputs=wanted("probabilities"))
    np.testing.assert_array_equal(result.as_numpy("probabilities"), served(3).probabilities({"pixels": ROWS}))


def test_without_outputs_the_default_ones_come_as_binary(client: Any) -> None:
    result = client.infer("digits", [pixels(ROWS)])
    assert result.as_numpy("label").shape == (5,)
    assert result.as_numpy("probability").dtype == np.float32


@pytest.mark.parametrize(
    ("datatype", "kind"),
    [
        ("FP64", np.float64),
        ("FP16", np.float16),
        ("INT8", np.int8),
        ("INT64", np.int64),
        ("UINT16", np.uint16),
        ("UINT64", np.uint64),
        ("BOOL", np.bool_),
    ],
)
def test_every_numeric_datatype_is_read_from_its_bytes(client: Any, datatype: str, kind: Any) -> None:
    rows = np.random.default_rng(2).integers(0, 2, (3, 64)).astype(kind)
    result = client.infer("digits", [pixels(rows, datatype)], outputs=wanted("probabilities"))
    expected = probabilities_by_torch(update_of(3), rows.astype(np.float64)).numpy()
    np.testing.assert_allclose(result.as_numpy("probabilities"), expected, rtol=0, atol=1e-6)


def test_columns_of_every_kind_may_be_mixed_binary_and_json() -> None:
    columns = {
        "amount": (np.array([1.5, -2.0]), "FP64"),
        "x": (np.array([[1, 2, 3], [4, 5, 6]], dtype=np.float32), "FP32"),
        "country": (np.array(["de", "überall"], dtype=object), "BYTES"),
        "note": (np.array(["some words", ""], dtype=object), "BYTES"),
    }
    with http_replica(MIXED) as replica, triton.InferenceServerClient(f"127.0.0.1:{replica.port}") as client:
        replica.slot.current = served(2, MIXED)
        answers = []
        for binary_names in ((), ("x", "note"), ("amount", "country"), tuple(columns)):
            inputs = []
            for name, (values, datatype) in columns.items():
                tensor = triton.InferInput(name, list(values.shape), datatype)
                tensor.set_data_from_numpy(values, binary_data=name in binary_names)
                inputs.append(tensor)
            answers.append(client.infer("mixed", inputs, outputs=wanted("probabilities")).as_numpy("probabilities"))
        for answer in answers[1:]:
            np.testing.assert_array_equal(answer, answers[0])


def test_triton_s_classification_is_answered(client: Any) -> None:
    result = client.infer("digits", [pixels(ROWS)], outputs=wanted("probabilities", class_count=2))
    first = result.as_numpy("probabilities")[0].tolist()
    expected = probabilities_by_torch(update_of(3), ROWS).numpy()[0]
    probability, index, name = first[0].decode().split(":")
    assert (int(index), name) == (expected.argmax(), f"c{expected.argmax()}")
    assert float(probability) == pytest.approx(expected.max(), abs=1e-5)
    assert result.as_numpy("probabilities").shape == (5, 2)


def test_old_versions_answer_until_newer_ones_take_their_place(client: Any, replica: HttpReplica) -> None:
    for version in ("1", "2", "3"):
        assert client.is_model_ready("digits", version)
        result = client.infer("digits", [pixels(ROWS)], version, outputs=wanted("probabilities"))
        assert result.get_response()["model_version"] == version
        expected = probabilities_by_torch(update_of(int(version)), ROWS).numpy()
        np.testing.assert_allclose(result.as_numpy("probabilities"), expected, rtol=0, atol=1e-6)
    assert client.get_model_metadata("digits")["versions"] == ["1", "2", "3"]
    assert client.get_model_metadata("digits", "2")["parameters"]["sha256"] == update_of(2).sha256


def test_the_server_and_its_index_are_found(client: Any) -> None:
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("digits")
    assert not client.is_model_ready("other")
    assert "binary_tensor_data" in client.get_server_metadata()["extensions"]
    assert client.get_model_repository_index() == [
        {"name": "digits", "version": version, "state": "READY", "reason": ""} for version in ("1", "2", "3")
    ]


def test_an_error_is_a_sentence_to_it(client: Any) -> None:
    with pytest.raises(InferenceServerException, match="'pixels' has shape"):
        client.infer("digits", [pixels(ROWS[:, :5])])
    with pytest.raises(InferenceServerException, match="'9' of model 'digits' is not served; 1, 2, 3 answer"):
        client.infer("digits", [pixels(ROWS)], "9")
