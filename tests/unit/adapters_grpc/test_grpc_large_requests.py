"""Messages of many values: read beside the event loop, answered as others are, refused before they are parsed."""

from collections.abc import Iterator
from typing import Any

import grpc
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from http_replica import HttpReplica, http_replica
from penstock.adapters.grpc.large_messages import MOST_PARTS, check_parts
from penstock.adapters.grpc.messages import METHODS, SERVICE, ModelInferRequest
from penstock.serving.aside import LARGE_BYTES
from penstock.serving.refusals import BadInputError
from served_models import MIXED, served

ROWS, MAX_ROWS = 9000, 10_000
RNG = np.random.default_rng(7)
AMOUNTS = RNG.integers(-99, 99, size=ROWS)
VECTORS = RNG.normal(size=(ROWS, 3)).astype(np.float32)
COUNTRIES = ["de", "fr", "it"] * (ROWS // 3)


@pytest.fixture(scope="module")
def replica() -> Iterator[HttpReplica]:
    with http_replica(
        MIXED, grpc_port=0, max_body_bytes=4_000_000, max_request_rows=MAX_ROWS, max_batch_rows=1024
    ) as running:
        running.slot.current = served(2, MIXED)
        yield running


def call(replica: HttpReplica, content: bytes) -> Any:
    """The answer, or the error of the call."""
    with grpc.insecure_channel(f"127.0.0.1:{replica.grpc_port}") as channel:
        parse = METHODS["ModelInfer"][1].FromString
        asked = channel.unary_unary(f"/{SERVICE}/ModelInfer", response_deserializer=parse)
        try:
            return asked(content, timeout=60)
        except grpc.RpcError as error:
            return error


def question(start: int = 0, end: int = ROWS) -> Any:
    request, num_rows = ModelInferRequest(model_name="mixed"), end - start
    amounts, vectors = AMOUNTS[start:end].tolist(), VECTORS[start:end].ravel().tolist()
    texts = {"bytes_contents": [country.encode() for country in COUNTRIES[start:end]]}
    request.inputs.add(name="amount", datatype="INT8", shape=[num_rows], contents={"int_contents": amounts})
    request.inputs.add(name="x", datatype="FP32", shape=[num_rows, 3], contents={"fp32_contents": vectors})
    request.inputs.add(name="country", datatype="BYTES", shape=[num_rows], contents=texts)
    request.inputs.add(name="note", datatype="BYTES", shape=[num_rows, 1], contents=texts)
    request.outputs.add(name="probabilities")
    return request


def test_a_large_message_gets_the_same_answer_as_its_rows_in_small_ones(replica: HttpReplica) -> None:
    content = question().SerializeToString()
    assert len(content) > 2 * LARGE_BYTES
    found = call(replica, content).outputs[0].contents.fp32_contents
    expected: list[float] = []
    for at in range(0, ROWS, 500):
        content = question(at, at + 500).SerializeToString()
        assert len(content) < LARGE_BYTES
        expected += call(replica, content).outputs[0].contents.fp32_contents
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)


def test_what_does_not_fit_is_named(replica: HttpReplica) -> None:
    beyond, fewer, more = question(), question(), question()
    beyond.inputs[0].contents.int_contents[-1] = 300
    fewer.inputs[0].shape[:] = [ROWS - 1]
    more.inputs[1].shape[:] = [MAX_ROWS + 1, 3]
    for request, fragment in (
        (beyond, "'amount' holds 300; INT8 takes finite values from -128 to 127"),
        (fewer, "'amount' holds 9000 values; its shape [8999] asks for 8999"),
        (more, f"'x' has {MAX_ROWS + 1} rows; a request takes at most {MAX_ROWS} (serving.max_request_rows)"),
    ):
        error = call(replica, request.SerializeToString())
        assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert fragment in error.details()


@pytest.mark.parametrize("place", ["inputs", "outputs", "raw_input_contents", "contents", "parameters"])
def test_a_message_of_too_many_parts_is_refused(replica: HttpReplica, place: str) -> None:
    count, request = MOST_PARTS + MAX_ROWS + 1, question(0, 1)
    if place == "contents":
        request.inputs[3].contents.bytes_contents[:] = [b""] * count
    elif place == "parameters":
        for number in range(count):
            request.inputs[3].parameters[str(number)].bool_param = True
    elif place == "raw_input_contents":
        request.raw_input_contents[:] = [b""] * count
    else:
        getattr(request, place).extend(type(getattr(request, place)[0])() for _ in range(count))
    error = call(replica, request.SerializeToString())
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert f"more than {MOST_PARTS + MAX_ROWS} parts" in error.details()


def test_large_bytes_that_are_no_message_are_refused(replica: HttpReplica) -> None:
    for content in (b"\x80" * 1_000_000, b"\xff" * 100_000, question().SerializeToString()[:-3]):
        error = call(replica, content)
        assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert "not a ModelInferRequest" in error.details()


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=80), st.integers(0, 80), st.integers(0, 255))
def test_counting_minds_no_bytes(noise: bytes, at: int, byte: int) -> None:
    content = bytearray(question(0, 2).SerializeToString())
    content[at] = byte
    for given_bytes in (noise, bytes(content), bytes(content[:at]) + noise):
        check_parts(given_bytes, MAX_ROWS)


def test_exactly_as_many_parts_as_may_be_are_taken() -> None:
    request = ModelInferRequest(raw_input_contents=[b""] * (MOST_PARTS + 5))
    check_parts(request.SerializeToString(), 5)
    with pytest.raises(BadInputError, match="parts"):
        check_parts(request.SerializeToString(), 4)
