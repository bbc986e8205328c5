"""Whatever bytes a client sends, it gets an answer of the protocol and nobody else notices."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from http_replica import HttpReplica, exchange, http_replica
from served_models import MIXED, served

GOOD: list[dict[str, Any]] = [
    {"name": "amount", "shape": [2], "datatype": "FP32", "data": [1, 2.5]},
    {"name": "x", "shape": [2, 3], "datatype": "FP32", "data": [[1, 2, 3], [4, 5, 6]]},
    {"name": "country", "shape": [2, 1], "datatype": "BYTES", "data": [["de"], ["fr"]]},
    {"name": "note", "shape": [2], "datatype": "BYTES", "data": ["a b", ""]},
]
DATATYPES = st.sampled_from(["BOOL", "INT8", "UINT64", "FP16", "FP32", "FP64", "BYTES", "BF16", ""])
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(10**30), 10**30)
    | st.floats()
    | st.text(max_size=5)
    | st.just("\ud800")
    | st.sampled_from([1e39, 3.4e38, 2**63, 10**310])
)
JSON: st.SearchStrategy[Any] = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=12,
)
SHAPES = st.lists(st.integers(-2, 4) | st.integers(), max_size=3)
FIELDS = {
    "name": st.sampled_from(["amount", "x", "country", "note"]) | JSON,
    "shape": SHAPES | JSON,
    "datatype": DATATYPES | JSON,
    "data": st.lists(SCALARS, max_size=7) | st.lists(st.lists(SCALARS, max_size=3), max_size=3) | JSON,
    "parameters": JSON,
}


LARGE_INTEGERS = st.builds(
    lambda first, digits: first * 10**digits,
    st.integers(-1, 9),
    st.sampled_from([0, 9, 18, 19, 38, 308, 309, 400, 4298]) | st.integers(0, 4298),
)
PARAMETERS = st.dictionaries(
    st.sampled_from(["timeout", "top_k", "classification", "binary_data", "binary_data_output", "binary_data_size"]),
    LARGE_INTEGERS | LARGE_INTEGERS | JSON,
    max_size=3,
)
OUTPUTS = st.lists(
    st.fixed_dictionaries(
        {"name": st.sampled_from(["label", "probability", "probabilities"])}, optional={"parameters": PARAMETERS}
    ),
    max_size=3,
)


@pytest.fixture(scope="module")
def replica() -> Iterator[HttpReplica]:
    with http_replica(MIXED) as running:
        running.slot.current = served(2, MIXED)
        yield running


@st.composite
def nearly_good(draw: st.DrawFn) -> bytes:
    """A good request with a few things changed, dropped or added."""
    body: dict[str, Any] = {"inputs": [dict(tensor) for tensor in GOOD]}
    for _ in range(draw(st.integers(1, 3))):
        tensor = draw(st.sampled_from(body["inputs"]))
        field = draw(st.sampled_from(sorted(FIELDS)))
        if draw(st.booleans()):
            tensor[field] = draw(FIELDS[field])
        else:
            tensor.pop(field, None)
    body |= draw(st.fixed_dictionaries({}, optional={"id": JSON, "outputs": JSON, "parameters": JSON}))
    return json.dumps(body).encode()


@st.composite
def with_parameters(draw: st.DrawFn) -> bytes:
    """A good request with parameters everywhere, of integers beyond all floats among others."""
    inputs = [tensor | draw(st.fixed_dictionaries({}, optional={"parameters": PARAMETERS})) for tensor in GOOD]
    more = draw(st.fixed_dictionaries({}, optional={"outputs": OUTPUTS, "parameters": PARAMETERS}))
    return json.dumps({"inputs": inputs, **more}).encode()


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """A good request cut off, or with bytes exchanged."""
    body = bytearray(json.dumps({"inputs": GOOD}).encode())
    for _ in range(draw(st.integers(0, 3))):
        body[draw(st.integers(0, len(body) - 1))] = draw(st.integers(0, 255))
    return bytes(body[: draw(st.integers(0, len(body)))])


@settings(max_examples=400, deadline=None)
@given(st.one_of(nearly_good(), damaged(), JSON.map(lambda value: json.dumps(value).encode()), st.binary(max_size=60)))
def test_no_body_is_answered_with_anything_but_200_or_a_sentence(replica: HttpReplica, body: bytes) -> None:
    check(replica, body)


@settings(max_examples=200, deadline=None)
@given(with_parameters())
def test_no_parameters_are_answered_with_anything_but_200_or_a_sentence(replica: HttpReplica, body: bytes) -> None:
    check(replica, body)


def check(replica: HttpReplica, body: bytes) -> None:
    status, answer = replica.infer(body)
    if status == 200:
        assert answer["model_version"] == "2"
        assert all(value is not None for output in answer["outputs"] for value in output["data"])
    else:
        assert status == 400 or (status == 504 and b"timeout" in body), answer
        assert list(answer) == ["error"]
        assert isinstance(answer["error"], str)
    assert replica.telemetry.value("penstock_requests_total", code="500") == 0


@settings(max_examples=100, deadline=None)
@given(st.text(st.characters(codec="ascii", categories=["L", "N", "P"]), max_size=30), st.sampled_from(["GET", "POST"]))
def test_no_path_is_answered_with_a_500(replica: HttpReplica, path: str, method: str) -> None:
    for prefix in ("/", "/v2/models/", "/v2/models/mixed/versions/"):
        status, answer, _ = replica.ask(method, prefix + path.replace("?", ""), b"{}" if method == "POST" else None)
        assert status in (200, 400, 404, 405), (status, answer)


def test_a_good_request_is_answered_after_all_of_them_on_one_connection(replica: HttpReplica) -> None:
    connection = replica.connect()
    good = json.dumps({"inputs": GOOD}).encode()
    for body in (b"", b"{", good[:-1], b"\xff", good):
        status, _, _ = exchange(connection, "POST", "/v2/models/mixed/infer", body)
    assert status == 200
    connection.close()
