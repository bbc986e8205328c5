"""What else a caller may do over gRPC: typed contents, deadlines, wrong bytes; the descriptors are the protocol's."""

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from google.protobuf.descriptor_pb2 import DescriptorProto, FileDescriptorProto, FileDescriptorSet
from grpc_tools import protoc
from hypothesis import given, settings
from hypothesis import strategies as st

import penstock.adapters.grpc
from golden import probabilities_by_torch
from http_replica import HttpReplica, http_replica
from penstock.adapters.grpc.messages import DESCRIPTORS, METHODS, SERVICE, ModelInferRequest
from penstock.adapters.grpc.server import GrpcServer
from penstock.adapters.grpc.service import handlers
from penstock.errors import ConfigurationError
from served_models import MIXED, PIXELS, served, update_of
from waiting import wait_for

ROW = np.random.default_rng(11).normal(size=(1, 64)).astype(np.float32)
Status = grpc.StatusCode


@pytest.fixture(scope="module")
def replica() -> Iterator[HttpReplica]:
    with http_replica(PIXELS, grpc_port=0, max_queued_requests=1) as running:
        running.slot.current = served(3)
        yield running


@pytest.fixture(scope="module")
def mixed() -> Iterator[HttpReplica]:
    with http_replica(MIXED, grpc_port=0) as running:
        running.slot.current = served(2, MIXED)
        yield running


def call(replica: HttpReplica, method: str, request: Any, timeout: float | None = 60) -> Any:
    """The answer, or the error of the call."""
    content = request if isinstance(request, bytes) else request.SerializeToString()
    with grpc.insecure_channel(f"127.0.0.1:{replica.grpc_port}") as channel:
        asked = channel.unary_unary(f"/{SERVICE}/{method}", response_deserializer=METHODS[method][1].FromString)
        try:
            return asked(content, timeout=timeout)
        except grpc.RpcError as error:
            return error


def question(model: str = "digits", **tensor: Any) -> Any:
    described = {"name": "pixels", "datatype": "FP32", "shape": [1, 64]} | tensor
    return ModelInferRequest(model_name=model, inputs=[described])


CONTENTS = {
    "BOOL": ("bool_contents", True),
    "INT8": ("int_contents", -3),
    "INT32": ("int_contents", 3),
    "INT64": ("int64_contents", -(2**40)),
    "UINT16": ("uint_contents", 7),
    "UINT64": ("uint64_contents", 2**60),
    "FP32": ("fp32_contents", 0.5),
    "FP64": ("fp64_contents", 0.25),
}


@pytest.mark.parametrize("datatype", CONTENTS)
def test_typed_contents_get_typed_contents_back(replica: HttpReplica, datatype: str) -> None:
    field, value = CONTENTS[datatype]
    request = question(datatype=datatype, contents={field: [value] * 64})
    request.outputs.add(name="probabilities")
    request.outputs.add(name="label")
    answer = call(replica, "ModelInfer", request)
    expected = probabilities_by_torch(update_of(3), [[float(value)] * 64]).numpy()
    if abs(value) < 100:
        np.testing.assert_allclose([answer.outputs[0].contents.fp32_contents], expected, rtol=0, atol=1e-6)
    assert answer.outputs[1].contents.bytes_contents[0].startswith(b"c")
    assert not answer.raw_output_contents


BAD: dict[str, tuple[dict[str, Any], str]] = {
    "the wrong field": ({"contents": {"fp64_contents": [1.0] * 64}}, "no fp32_contents"),
    "two fields": (
        {"contents": {"fp32_contents": [1.0] * 64, "int_contents": [2] * 64}},
        "int_contents and fp32_contents; FP32 takes fp32_contents alone",
    ),
    "no values": ({}, "holds 0 values"),
    "FP16 typed": ({"datatype": "FP16", "contents": {"fp32_contents": [1.0] * 64}}, "raw_input_contents only"),
    "an unknown datatype": ({"datatype": "FP8"}, "'FP8'"),
    "beyond INT8": ({"datatype": "INT8", "contents": {"int_contents": [300] * 64}}, "300; INT8"),
    "infinity": ({"contents": {"fp32_contents": [float("inf")] * 64}}, "inf; FP32 takes finite"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_does_not_fit_is_named(replica: HttpReplica, name: str) -> None:
    changes, fragment = BAD[name]
    error = call(replica, "ModelInfer", question(**changes))
    assert error.code() is Status.INVALID_ARGUMENT
    assert "'pixels'" in error.details()
    assert fragment in error.details()


def test_raw_and_typed_contents_are_not_mixed(replica: HttpReplica) -> None:
    both = question(contents={"fp32_contents": [1.0]})
    both.raw_input_contents.append(ROW.tobytes())
    assert "both contents and raw" in call(replica, "ModelInfer", both).details()
    both.raw_input_contents.append(b"")
    assert "1 inputs and 2 raw_input_contents" in call(replica, "ModelInfer", both).details()


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_no_bytes_are_answered_with_an_internal_error(mixed: HttpReplica, data: st.DataObject) -> None:
    request = ModelInferRequest(model_name="mixed")
    request.inputs.add(name="amount", datatype="INT64", shape=[2], contents={"int64_contents": [1, 2]})
    request.inputs.add(name="x", datatype="FP32", shape=[2, 3], contents={"fp32_contents": [1.0] * 6})
    request.inputs.add(name="country", datatype="BOOL", shape=[2], contents={"bool_contents": [True, False]})
    request.inputs.add(name="note", datatype="BYTES", shape=[2, 1], contents={"bytes_contents": [b"a", b"b"]})
    content = bytearray(request.SerializeToString())
    for _ in range(data.draw(st.integers(0, 3))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.just(len(content)) | st.integers(0, len(content)))
    answer = call(mixed, "ModelInfer", bytes(content[:cut]))
    if isinstance(answer, grpc.RpcError):
        assert answer.code() in (Status.INVALID_ARGUMENT, Status.NOT_FOUND), answer
    else:
        assert answer.model_version == "2"


@pytest.mark.parametrize("method", sorted(METHODS))
def test_bytes_that_are_no_message_are_refused(replica: HttpReplica, method: str) -> None:
    assert call(replica, method, b"\xff\xff\xff").code() is Status.INVALID_ARGUMENT


def test_a_message_beyond_the_limit_is_refused(replica: HttpReplica) -> None:
    request = question(shape=[5000, 64])
    request.raw_input_contents.append(bytes(5000 * 64 * 4))
    assert call(replica, "ModelInfer", request).code() is Status.RESOURCE_EXHAUSTED


def test_calls_that_are_given_up_while_they_wait_are_not_computed_and_a_full_queue_says_when_to_come_back() -> None:
    with http_replica(PIXELS, grpc_port=0, max_queued_requests=2) as replica:
        slow = Held()
        replica.slot.current = slow  # type: ignore[assignment]  # a served model that waits
        request = question(contents={"fp32_contents": [1.0] * 64})
        with grpc.insecure_channel(f"127.0.0.1:{replica.grpc_port}") as channel:
            asked = channel.unary_unary(
                f"/{SERVICE}/ModelInfer",
                request_serializer=ModelInferRequest.SerializeToString,
                response_deserializer=METHODS["ModelInfer"][1].FromString,
            )
            first = asked.future(request, timeout=60)
            assert slow.busy.wait(60)
            overdue, cancelled = asked.future(request, timeout=1.0), asked.future(request, timeout=60)
            wait_for(lambda: replica.batcher._queue.qsize() == 2, "both wait", every_seconds=0.002)
            full = call(replica, "ModelInfer", request)
            assert full.code() is Status.UNAVAILABLE
            assert dict(full.trailing_metadata())["grpc-retry-pushback-ms"] == "1000"
            cancelled.cancel()
            assert overdue.exception(60).code() is Status.DEADLINE_EXCEEDED

            def counted(code: str) -> float:
                return replica.telemetry.value("penstock_requests_total", code=code)

            wait_for(lambda: counted("CANCELLED") == 2, "the replica knows of both", every_seconds=0.01)
            slow.go_on.set()
            assert first.result(60).model_version == "3"
        wait_for(lambda: replica.telemetry.value("penstock_queue_depth_requests") == 0, "the queue is empty")
        assert slow.passes == 1
        assert {code: counted(code) for code in ("OK", "UNAVAILABLE")} == {"OK": 1, "UNAVAILABLE": 1}


class Held:
    """A served model that waits to be let go, and counts what it computes."""

    def __init__(self) -> None:
        self.busy, self.go_on, self.passes = threading.Event(), threading.Event(), 0
        self._model = served(3)

    def probabilities(self, columns: Any) -> Any:
        self.busy.set()
        assert self.go_on.wait(60)
        self.passes += 1
        return self._model.probabilities(columns)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)


def test_without_a_model_it_lives_and_is_not_ready() -> None:
    with http_replica(PIXELS, grpc_port=0) as replica:
        assert call(replica, "ServerLive", b"").live
        assert not call(replica, "ServerReady", b"").ready
        ready = METHODS["ModelReady"][0](name="digits")
        assert not call(replica, "ModelReady", ready).ready
        assert call(replica, "ModelReady", METHODS["ModelReady"][0](name="x")).code() is Status.NOT_FOUND
        assert call(replica, "ModelInfer", question()).code() is Status.UNAVAILABLE
        replica.slot.current = served(1)
        assert call(replica, "ServerReady", b"").ready
        assert call(replica, "ModelReady", ready).ready


def test_a_port_that_is_taken_is_named(replica: HttpReplica) -> None:
    async def take() -> None:
        GrpcServer(
            handlers(replica.plane, replica.telemetry), host="127.0.0.1", port=replica.grpc_port, max_body_bytes=1000
        )

    with pytest.raises(ConfigurationError, match=f"serving.grpc_port is {replica.grpc_port}"):
        asyncio.run(take())


def as_generated(tmp_path: Path) -> FileDescriptorProto:
    folder = Path(penstock.adapters.grpc.__path__[0])
    out = tmp_path / "out.binpb"
    assert protoc.main(["", f"-I{folder}", f"--descriptor_set_out={out}", "open_inference.proto"]) == 0
    return FileDescriptorSet.FromString(out.read_bytes()).file[0]


def test_the_descriptors_are_those_of_the_proto_file(tmp_path: Path) -> None:
    assert DESCRIPTORS.file[0] == as_generated(tmp_path)


def test_every_field_is_numbered_and_typed_as_in_triton_s_protocol() -> None:
    from tritonclient.grpc import service_pb2

    theirs = FileDescriptorProto()
    service_pb2.DESCRIPTOR.CopyToProto(theirs)
    known = {message.name: shape_of(message) for message in theirs.message_type}
    for message in DESCRIPTORS.file[0].message_type:
        assert shape_of(message).items() <= known[message.name].items(), message.name
    (service,) = theirs.service
    methods = {(method.name, method.input_type, method.output_type) for method in service.method}
    assert {(one.name, one.input_type, one.output_type) for one in DESCRIPTORS.file[0].service[0].method} <= methods
    assert f"{theirs.package}.{service.name}" == SERVICE


def shape_of(message: DescriptorProto) -> dict[str, tuple[int, int, int, str]]:
    """Number, type, label and message of every field, those of nested messages by dotted name."""
    fields = {field.name: (field.number, field.type, field.label, field.type_name) for field in message.field}
    for nested in message.nested_type:
        fields |= {f"{nested.name}.{name}": field for name, field in shape_of(nested).items()}
    return fields
