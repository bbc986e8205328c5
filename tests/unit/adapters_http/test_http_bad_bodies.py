"""Bodies that are wrong, each answered 400 with a sentence that names what is; never a 500."""

import json
from collections.abc import Iterator

import pytest

from http_replica import HttpReplica, http_replica
from served_models import MIXED, PIXELS, served

GOOD = {"name": "pixels", "shape": [1, 64], "datatype": "FP32", "data": [0.5] * 64}


@pytest.fixture(scope="module")
def replica() -> Iterator[HttpReplica]:
    with http_replica(PIXELS, max_body_bytes=100_000) as running:
        running.slot.current = served(3)
        yield running


@pytest.fixture(scope="module")
def mixed() -> Iterator[HttpReplica]:
    with http_replica(MIXED) as running:
        running.slot.current = served(2, MIXED)
        yield running


def with_data(text: str) -> bytes:
    return json.dumps({"inputs": [GOOD | {"data": "@"}]}).replace('"@"', text).encode()


def with_input(**changes: object) -> bytes:
    return json.dumps({"inputs": [GOOD | changes]}).encode()


BODIES: dict[str, tuple[bytes, list[str]]] = {
    "empty": (b"", ["not JSON"]),
    "not JSON": (b"hello", ["not JSON"]),
    "cut off": (with_input()[:-9], ["not JSON"]),
    "more than one document": (with_input() * 2, ["not JSON"]),
    "not UTF-8": (with_input(name="\x00\x00").replace(b"\\u0000\\u0000", b"\xff\xfe"), ["not JSON", "utf-8"]),
    "nested without end": (b'{"parameters": {"a":' + b"[" * 50_000, ["not JSON", "nested too deeply"]),
    "data nested without end": (with_data("[" * 20_000 + "]" * 20_000), ["not JSON", "nested too deeply"]),
    "data nested deeply": (with_data("[" * 100 + "]" * 100), ["'pixels'", "data[0][0]", "[1, 64]"]),
    "a list": (b"[]", ["expected object, got array"]),
    "null": (b"null", ["expected object, got null"]),
    "no inputs": (b"{}", ["missing required field inputs"]),
    "inputs null": (b'{"inputs": null}', ["body.inputs", "expected array, got null"]),
    "no input": (b'{"inputs": []}', ["'pixels' is missing"]),
    "input not an object": (b'{"inputs": [3]}', ["body.inputs[0]", "expected object, got int"]),
    "no name": (b'{"inputs": [{"shape": [1], "datatype": "FP32", "data": [1]}]}', ["body.inputs[0]", "name"]),
    "no data": (b'{"inputs": [{"name": "pixels", "shape": [1, 64], "datatype": "FP32"}]}', ["data"]),
    "id not a string": (json.dumps({"id": 3, "inputs": [GOOD]}).encode(), ["body.id", "expected str"]),
    "unknown input": (json.dumps({"inputs": [GOOD, GOOD | {"name": "extra"}]}).encode(), ["'extra'", "'pixels'"]),
    "missing input": (with_input(name="pixel"), ["'pixels' is missing"]),
    "input twice": (json.dumps({"inputs": [GOOD, GOOD]}).encode(), ["'pixels' is given twice"]),
    "unknown datatype": (with_input(datatype="FLOAT"), ["'pixels'", "'FLOAT'", "FP32"]),
    "datatype of texts": (with_input(datatype="BYTES", data=["a"] * 64), ["'pixels'", "'BYTES'", "FP32"]),
    "shape not a list": (with_input(shape=64), ["shape", "expected array, got int"]),
    "shape of texts": (with_input(shape=["1", "64"]), ["shape[0]", "expected int, got str"]),
    "shape too short": (with_input(shape=[64]), ["'pixels' has shape [64]", "[n, 64]"]),
    "shape too wide": (with_input(shape=[1, 65], data=[0.5] * 65), ["[1, 65]", "[n, 64]"]),
    "shape transposed": (with_input(shape=[64, 1]), ["[64, 1]", "[n, 64]"]),
    "shape empty": (with_input(shape=[]), ["has shape []", "[n, 64]"]),
    "shape negative": (with_input(shape=[-1, 64]), ["[-1, 64]", "at least 1"]),
    "shape without rows": (with_input(shape=[0, 64], data=[]), ["[0, 64]", "at least 1"]),
    "shape enormous": (with_input(shape=[10**40, 64]), ["'pixels'", "[n, 64]"]),
    "too few values": (with_input(data=[0.5] * 63), ["63 values", "64"]),
    "too many values": (with_input(shape=[2, 64]), ["64 values", "128"]),
    "no values": (with_input(data=[]), ["0 values", "64"]),
    "nested otherwise": (with_input(data=[[0.5] * 32, [0.5] * 32]), ["'pixels'", "2 lists of 32", "[1, 64]"]),
    "nested raggedly": (with_input(shape=[2, 64], data=[[0.5] * 64, [0.5] * 63]), ["'pixels'", "63 or 64"]),
    "nested in threes": (with_input(data=[[[0.5] * 64]]), ["'pixels'", "[1, 64]"]),
    "partly nested": (with_input(data=[[0.5] * 64, 1]), ["'pixels'", "data[1]"]),
    "data a string": (with_input(data="0.5"), ["'pixels'", "expected array, got str"]),
    "data null": (with_input(data=None), ["'pixels'", "expected array, got null"]),
    "a string among numbers": (with_input(data=[0.5] * 63 + ["x"]), ["'pixels'", "data[63]", "float, got str"]),
    "null among numbers": (with_input(data=[None] + [0.5] * 63), ["'pixels'", "data[0]", "float, got null"]),
    "true among numbers": (with_input(data=[True] + [0.5] * 63), ["'pixels'", "data[0]", "float, got bool"]),
    "a string nested": (with_input(data=[[0.5] * 63 + ["x"]]), ["'pixels'", "data[0][63]", "float, got str"]),
    "NaN": (with_data("[" + "NaN, " * 63 + "1]"), ["'pixels'", "NaN or Infinity", "finite"]),
    "Infinity": (with_data("[" + "-Infinity, " * 63 + "1]"), ["'pixels'", "NaN or Infinity"]),
    "infinite by size": (with_data("[" + "1e999, " * 63 + "1]"), ["'pixels'", "data[0]", "out of range"]),
    "beyond FP32": (with_input(data=[1e39] * 64), ["'pixels'", "1e+39", "FP32"]),
    "beyond FP32 as FP64": (with_input(datatype="FP64", data=[1e300] * 64), ["'pixels'", "FP32"]),
    "beyond FP16": (with_input(datatype="FP16", data=[70000.0] * 64), ["'pixels'", "70000", "FP16"]),
    "beyond INT8": (with_input(datatype="INT8", data=[128] * 64), ["'pixels'", "128", "INT8"]),
    "below UINT8": (with_input(datatype="UINT8", data=[-1] * 64), ["'pixels'", "-1", "UINT8"]),
    "beyond INT64": (with_input(datatype="INT64", data=[2**80] * 64), ["'pixels'"]),
    "integer of 400 digits": (with_data("[" + "9" * 400 + ", 1" * 63 + "]"), ["'pixels'"]),
    "integer of 400 digits as INT64": (with_input(datatype="INT64", data=[10**400] * 64), ["'pixels'"]),
    "a fraction as INT32": (with_input(datatype="INT32", data=[1.5] * 64), ["'pixels'", "int", "float"]),
    "numbers as BOOL": (with_input(datatype="BOOL", data=[0.5] * 64), ["'pixels'", "bool", "float"]),
    "unknown output": (json.dumps({"inputs": [GOOD], "outputs": [{"name": "logits"}]}).encode(), ["'logits'", "label"]),
    "output twice": (json.dumps({"inputs": [GOOD], "outputs": [{"name": "label"}] * 2}).encode(), ["twice"]),
    "output not an object": (json.dumps({"inputs": [GOOD], "outputs": ["label"]}).encode(), ["body.outputs[0]"]),
    "a name without end": (with_input(name="n" * 50_000), ["'pixels' is missing"]),
}


@pytest.mark.parametrize("name", BODIES)
def test_a_bad_body_is_answered_400_with_a_sentence_that_names_what_is_wrong(replica: HttpReplica, name: str) -> None:
    body, fragments = BODIES[name]
    status, answer = replica.infer(body)
    assert status == 400, answer
    assert list(answer) == ["error"]
    for fragment in fragments:
        assert fragment in answer["error"]
    assert len(answer["error"]) < 500
    assert replica.infer({"inputs": [GOOD]})[0] == 200


MIXED_GOOD: dict[str, dict[str, object]] = {
    "amount": {"name": "amount", "shape": [2], "datatype": "FP32", "data": [1, 2]},
    "x": {"name": "x", "shape": [2, 3], "datatype": "FP32", "data": [1, 2, 3, 4, 5, 6]},
    "country": {"name": "country", "shape": [2], "datatype": "BYTES", "data": ["de", "fr"]},
    "note": {"name": "note", "shape": [2], "datatype": "BYTES", "data": ["a", "b"]},
}
MIXED_BODIES: dict[str, tuple[str, dict[str, object], list[str]]] = {
    "rows that differ": ("amount", {"shape": [3], "data": [1, 2, 3]}, ["'x' has 2 rows", "3"]),
    "a number as [n, 2]": ("amount", {"shape": [1, 2]}, ["'amount'", "[1, 2]", "[n] or [n, 1]"]),
    "a category as FP32": ("country", {"datatype": "FP32", "data": [1, 2]}, ["'country'", "FP32", "BYTES"]),
    "a text of numbers": ("note", {"data": [1, 2]}, ["'note'", "data[0]", "str, got int"]),
    "a text that is null": ("note", {"data": ["a", None]}, ["'note'", "data[1]", "str, got null"]),
}


@pytest.mark.parametrize("name", MIXED_BODIES)
def test_a_column_that_does_not_fit_is_named(mixed: HttpReplica, name: str) -> None:
    column, changes, fragments = MIXED_BODIES[name]
    inputs = [MIXED_GOOD[key] | (changes if key == column else {}) for key in MIXED_GOOD]
    status, answer = mixed.infer({"inputs": inputs})
    assert status == 400, answer
    for fragment in fragments:
        assert fragment in answer["error"]


def test_rows_that_overflow_the_model_are_the_callers_fault(mixed: HttpReplica) -> None:
    huge = MIXED_GOOD["x"] | {"data": [3e38] * 6}
    status, answer = mixed.infer({"inputs": [huge if key == "x" else MIXED_GOOD[key] for key in MIXED_GOOD]})
    assert status in (200, 400)
    if status == 400:
        assert "not finite" in answer["error"]
