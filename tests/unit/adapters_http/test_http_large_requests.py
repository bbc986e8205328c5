"""Requests of megabytes: read beside the event loop, answered as others are, and refused early where they are wrong."""

import json
import struct
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from http_replica import HttpReplica, http_replica
from penstock.serving.aside import LARGE_BYTES, LARGE_VALUES, MOST_READING
from served_models import MIXED, PIXELS, served
from waiting import wait_for

ROWS = 6000
MAX_ROWS = 8000
RNG = np.random.default_rng(5)
AMOUNTS, VECTORS = RNG.normal(size=ROWS).round(3), RNG.normal(size=(ROWS, 3)).round(3)
COUNTRIES, NOTES = ["de", "fr", 'a "b", [c]'] * (ROWS // 3), ["hello, \\ ] world", ""] * (ROWS // 2)
MIB = 1 << 20


@pytest.fixture(scope="module")
def replica() -> Iterator[HttpReplica]:
    with http_replica(MIXED, max_body_bytes=16 * MIB, max_batch_rows=1024, max_request_rows=MAX_ROWS) as running:
        running.slot.current = served(2, MIXED)
        yield running


def body_of(start: int = 0, end: int = ROWS, *, nested: bool = False, **changes: Any) -> dict[str, Any]:
    """These rows, and all outputs."""
    amounts, vectors = AMOUNTS[start:end], VECTORS[start:end]
    countries, notes = COUNTRIES[start:end], NOTES[start:end]
    num_rows = len(notes)
    inputs: list[dict[str, Any]] = [
        {"name": "amount", "shape": [num_rows], "datatype": "FP64", "data": amounts.tolist()},
        {"name": "x", "shape": [num_rows, 3], "datatype": "FP32", "data": vectors.ravel().tolist()},
        {"name": "country", "shape": [num_rows], "datatype": "BYTES", "data": countries},
        {"name": "note", "shape": [num_rows], "datatype": "BYTES", "data": notes},
    ]
    if nested:
        inputs[1]["data"] = vectors.tolist()
        inputs[2] |= {"shape": [num_rows, 1], "data": [[country] for country in countries]}
    outputs = [{"name": "label"}, {"name": "probability"}, {"name": "probabilities"}]
    return {"inputs": [one | changes.get(one["name"], {}) for one in inputs], "outputs": outputs}


def answered(replica: HttpReplica, body: dict[str, Any]) -> dict[str, Any]:
    status, answer = replica.infer(body)
    assert status == 200, answer
    return {output["name"]: np.reshape(output["data"], output["shape"]) for output in answer["outputs"]}


@pytest.fixture(scope="module")
def expected(replica: HttpReplica) -> dict[str, Any]:
    """The answers to the same rows, few at a time."""
    parts = [answered(replica, body_of(at, at + 250)) for at in range(0, ROWS, 250)]
    assert len(json.dumps(body_of(0, 250))) < LARGE_BYTES
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


@pytest.mark.parametrize("nested", [False, True])
def test_a_large_request_gets_the_same_answer_as_its_rows_in_small_ones(
    replica: HttpReplica, expected: dict[str, Any], nested: bool
) -> None:
    body = body_of(nested=nested)
    assert len(json.dumps(body)) > 4 * LARGE_BYTES
    found = answered(replica, body)
    assert found["probabilities"].size > LARGE_VALUES
    assert (found["label"] == expected["label"]).mean() > 0.999  # rows of a pass share a product, to its last bits
    for name in ("probability", "probabilities"):
        np.testing.assert_allclose(found[name], expected[name], rtol=0, atol=1e-5)


def test_a_large_binary_request_gets_it_too(replica: HttpReplica, expected: dict[str, Any]) -> None:
    texts = b"".join(struct.pack("<I", len(note.encode())) + note.encode() for note in NOTES)
    vectors = VECTORS.astype("<f4").tobytes()
    body = body_of()
    for place, content in ((1, vectors), (3, texts)):
        del body["inputs"][place]["data"]
        body["inputs"][place]["parameters"] = {"binary_data_size": len(content)}
    text = json.dumps(body).encode()
    headers = {"Inference-Header-Content-Length": str(len(text))}
    status, answer, _ = replica.ask("POST", "/v2/models/mixed/infer", text + vectors + texts, headers)
    assert status == 200, answer
    np.testing.assert_allclose(answer["outputs"][2]["data"], expected["probabilities"].ravel(), rtol=0, atol=1e-5)


def numbers(count: int) -> str:
    return ",".join(["1"] * count)


def with_x(data: str, **changes: Any) -> bytes:
    """One row, with this text as the data of its vector."""
    return json.dumps(body_of(0, 1, x={"data": "@", **changes})).replace('"@"', data).encode()


def beside(**more: str) -> bytes:
    """One row, with these texts behind it."""
    text = json.dumps(body_of(0, 1))[:-1]
    return (text + "".join(f', "{key}": {value}' for key, value in more.items()) + "}").encode()


WRONG: dict[str, tuple[bytes, list[str]]] = {
    "too many rows": (
        json.dumps({"inputs": [body_of()["inputs"][0] | {"shape": [500_000], "data": [1] * 500_000}]}).encode(),
        ["'amount' has 500000 rows", f"at most {MAX_ROWS}", "serving.max_request_rows"],
    ),
    "too many values": (with_x(f"[{numbers(600_000)}]"), ["'x' holds 600000 values", "asks for 3"]),
    "a million empty rows": (with_x(f"[{','.join(['[]'] * MIB)}]"), ["'x'", "1048576 lists", "[1, 3]"]),
    "NaN behind many numbers": (with_x(f"[{numbers(100_000)},NaN]"), ["'x' holds NaN or Infinity", "finite"]),
    "NaN behind a million": (with_x(f"[{numbers(MIB)},NaN]"), ["The body holds NaN at byte 209", "finite"]),
    "-Infinity": (with_x(f"[-Infinity,{numbers(MIB)}]"), ["The body holds Infinity at byte"]),
    "cut off behind a million": (with_x(f"[{numbers(MIB)}]")[: MIB + 1], ["not JSON", "truncated"]),
    "cut off": (with_x(f"[{numbers(100_000)}]")[:150_000], ["not JSON", "truncated"]),
    "nested without end": (with_x("[" * 100_000), ["not JSON", "nested too deeply"]),
    "outputs": (beside(outputs=json.dumps([{"name": "label"}] * 100_000)), ["beside the data", str(MIB)]),
    "parameters": (beside(parameters=json.dumps({"a": [[]] * 500_000})), ["beside the data", str(MIB)]),
    "what nobody asked for": (beside(more=json.dumps("a" * 2 * MIB)), ["beside the data", str(MIB)]),
    "inputs": (
        b'{"inputs": [' + b",".join([b'{"name":"","shape":[],"datatype":"FP32","data":[]}'] * 30_000) + b"]}",
        ["beside the data", str(MIB)],
    ),
    "inputs of nothing": (b'{"inputs": [' + b",".join([b"{}"] * 500_000) + b"]}", ["inputs[0]", "required field name"]),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_large_body_that_is_wrong_is_answered_400_with_a_sentence(replica: HttpReplica, name: str) -> None:
    body, fragments = WRONG[name]
    assert len(body) > LARGE_BYTES
    status, answer = replica.infer(body)
    assert status == 400, answer
    for fragment in fragments:
        assert fragment in answer["error"]
    assert len(answer["error"]) < 500


def test_raw_texts_are_read_no_further_than_the_shape_asks(replica: HttpReplica) -> None:
    texts = struct.pack("<I", 0) * 500_000
    body = body_of(0, 1, note={"parameters": {"binary_data_size": len(texts)}})
    del body["inputs"][3]["data"]
    text = json.dumps(body).encode()
    headers = {"Inference-Header-Content-Length": str(len(text))}
    status, answer, _ = replica.ask("POST", "/v2/models/mixed/infer", text + texts, headers)
    assert (status, answer) == (400, {"error": "Input 'note' holds more elements than the 1 that its shape asks for."})


def test_few_bytes_of_too_many_rows_are_refused_alike() -> None:
    with http_replica(PIXELS, max_request_rows=2) as small:
        small.slot.current = served(1)
        tensor = {"name": "pixels", "shape": [3, 64], "datatype": "INT8", "data": [1] * 192}
        status, answer = small.infer({"inputs": [tensor]})
        assert status == 400
        assert answer["error"] == "Input 'pixels' has 3 rows; a request takes at most 2 (serving.max_request_rows)."


@pytest.mark.parametrize("name", ["note", "country"])
def test_a_text_that_would_hold_up_others_is_refused(name: str) -> None:
    with http_replica(MIXED, max_body_bytes=MIB, max_text_bytes=100_000) as short:
        short.slot.current = served(2, MIXED)
        longest = "\N{SNOWMAN}" * 33_333 + "a"
        fitting, beyond = (
            {"inputs": [one | ({"data": [text]} if one["name"] == name else {}) for one in body_of(0, 1)["inputs"]]}
            for text in (longest, longest + "b")
        )
        assert short.infer(fitting)[0] == 200
        status, answer = short.infer(beyond)
        assert status == 400
        assert answer["error"] == (
            f"Input {name!r} holds a text of 100001 bytes; at most 100000 are taken (serving.max_text_bytes)."
        )


def test_others_are_answered_while_large_requests_wait_to_be_read_and_one_too_many_is_503(
    replica: HttpReplica,
) -> None:
    aside, go_on = replica.plane.aside, threading.Event()
    held = aside._thread.submit(go_on.wait)
    large, answers = json.dumps(body_of()).encode(), list[int]()
    asking = [threading.Thread(target=lambda: answers.append(replica.infer(large)[0])) for _ in range(MOST_READING)]
    try:
        for thread in asking:
            thread.start()
        wait_for(lambda: aside._reading == MOST_READING, "they wait to be read", every_seconds=0.002)
        assert replica.infer(body_of(0, 1))[0] == 200
        assert replica.get("/v2/health/ready")[0] == 200
        status, answer, headers = replica.ask("POST", "/v2/models/mixed/infer", large)
        assert (status, headers["retry-after"]) == (503, "1")
        assert f"{MOST_READING} large requests" in answer["error"]
        assert not answers
    finally:
        go_on.set()
        for thread in asking:
            thread.join(60)
    assert held.result()
    assert answers == [200] * MOST_READING
    assert aside._reading == 0
