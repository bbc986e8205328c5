"""Answers are those of torch: its own functions on the tensors of the weights file, to the bit where bits travel."""

import json
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import pytest
import torch
from safetensors.torch import load
from torch.nn.functional import linear

from http_replica import HttpReplica, exchange, http_replica
from penstock.learning.head import capacity_for
from penstock.learning.weights import read_card
from served_models import PIXELS, served, update_of

VERSION = 4
ROWS = np.random.default_rng(11).normal(size=(17, 64)).astype(np.float32)


@pytest.fixture(scope="module")
def replica() -> Iterator[HttpReplica]:
    with http_replica(PIXELS) as running:
        running.slot.current = served(VERSION)
        yield running


def by_torch(rows: npt.NDArray[np.float32], *, padded: bool) -> npt.NDArray[np.float32]:
    """[n, classes] float32; `padded`: with the head's room for more classes, since another shape may sum otherwise."""
    content = bytes(update_of(VERSION).inline or b"")
    tensors, constants = load(content), read_card(content).encoder
    (origin,), (scale,) = (torch.tensor(list(found.values())) for found in (constants.origins, constants.scales))
    head = tensors["head.rows"]
    num_classes = len(head)
    if padded:
        room = torch.zeros(capacity_for(num_classes) - num_classes, head.shape[1])
        room[:, -1] = -torch.inf
        head = torch.cat((head, room))
    hidden = torch.relu(
        linear(
            (torch.from_numpy(rows) - origin) * scale,
            tensors["backbone.layers.0.weight"],
            tensors["backbone.layers.0.bias"],
        )
    )
    found: npt.NDArray[np.float32] = torch.softmax(linear(hidden, head[:, :-1], head[:, -1]), dim=1).numpy()
    return found[:, :num_classes]


def by_json(replica: HttpReplica, rows: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    tensor = {"name": "pixels", "shape": list(rows.shape), "datatype": "FP32", "data": rows.tolist()}
    status, answer = replica.infer({"inputs": [tensor], "outputs": [{"name": "probabilities"}]})
    assert status == 200
    return np.reshape(answer["outputs"][0]["data"], answer["outputs"][0]["shape"])


def in_bytes(replica: HttpReplica, rows: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    raw = rows.astype("<f4").tobytes()
    tensor = {"name": "pixels", "shape": list(rows.shape), "datatype": "FP32"}
    text = json.dumps(
        {
            "inputs": [tensor | {"parameters": {"binary_data_size": len(raw)}}],
            "outputs": [{"name": "probabilities", "parameters": {"binary_data": True}}],
        }
    ).encode()
    connection = replica.connect()
    headers = {"Inference-Header-Content-Length": str(len(text))}
    status, content, answered = exchange(connection, "POST", "/v2/models/digits/infer", text + raw, headers)
    connection.close()
    assert status == 200
    at = int({name.lower(): value for name, value in answered.items()}["inference-header-content-length"])
    return np.frombuffer(content[at:], dtype="<f4").reshape(len(rows), -1)


def test_a_single_row_is_answered_to_the_bit(replica: HttpReplica) -> None:
    for row in ROWS:
        np.testing.assert_array_equal(in_bytes(replica, row[None]), by_torch(row[None], padded=True))
        expected = by_torch(row[None], padded=False)
        np.testing.assert_allclose(by_json(replica, row[None]), expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("num_rows", [2, 3, 8, 17])
def test_a_batch_is_answered_to_the_bit(replica: HttpReplica, num_rows: int) -> None:
    rows = ROWS[:num_rows]
    np.testing.assert_array_equal(in_bytes(replica, rows), by_torch(rows, padded=True))
    np.testing.assert_allclose(by_json(replica, rows), by_torch(rows, padded=False), rtol=0, atol=1e-6)
