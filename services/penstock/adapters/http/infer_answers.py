"""Inference responses of the Open Inference Protocol v2: JSON, and behind it the tensors asked for as binary."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from penstock.adapters.http.bodies import BINARY_DATA, BINARY_DATA_OUTPUT, BINARY_DATA_SIZE
from penstock.serving.aside import STEP_VALUES
from penstock.serving.raw_tensors import write_raw
from penstock.serving.requests import InferRequest, InferResponse, OutputTensor


class _Output(msgspec.Struct, omit_defaults=True):
    name: str
    datatype: str
    shape: tuple[int, ...]
    data: Sequence[float | str] | msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    parameters: dict[str, Sequence[str] | int] | None = None


class _Response(msgspec.Struct, omit_defaults=True):
    model_name: str
    model_version: str
    parameters: Mapping[str, str]
    outputs: list[_Output]
    id: str | None = None


_encode = msgspec.json.Encoder().encode


def encode_response(response: InferResponse, request: InferRequest) -> tuple[bytes, int | None]:
    """The body, and how much of it is JSON where binary tensors follow; tensors are flat, row-major."""
    wanted = _wants_binary(request)
    if not wanted:
        return _json(response, [_as_json(tensor) for tensor in response.outputs]), None
    outputs: list[_Output] = []
    binary: list[bytes] = []
    for tensor in response.outputs:
        if tensor.name not in wanted:
            outputs.append(_as_json(tensor))
            continue
        binary.append(write_raw(tensor))
        outputs.append(_described(tensor, {BINARY_DATA_SIZE: len(binary[-1])}))
    text = _json(response, outputs)
    return b"".join([text, *binary]), len(text)


def _wants_binary(request: InferRequest) -> set[str]:
    """The names of outputs that go as raw bytes: by their own parameter, else by the request's."""
    if not request.parameters and not request.outputs:
        return set()
    default = request.parameters.get(BINARY_DATA_OUTPUT, False)
    if not request.outputs:
        return {"label", "probability"} if default is True else set()
    return {output.name for output in request.outputs if output.parameters.get(BINARY_DATA, default) is True}


def _json(response: InferResponse, outputs: list[_Output]) -> bytes:
    return _encode(
        _Response(
            model_name=response.model,
            model_version=response.version,
            parameters=response.parameters,
            outputs=outputs,
            id=response.id,
        )
    )


def _as_json(tensor: OutputTensor) -> _Output:
    output = _described(tensor)
    values = tensor.values if isinstance(tensor.values, list) else tensor.values.ravel()  # type: ignore[union-attr]  # an array
    if len(values) > STEP_VALUES:
        output.data = _in_steps(values)
    else:
        output.data = values if isinstance(values, list) else values.tolist()
    return output


def _in_steps(values: Any) -> msgspec.Raw:
    """To write millions at once would hold up all other threads."""
    parts = [values[at : at + STEP_VALUES] for at in range(0, len(values), STEP_VALUES)]
    steps = [_encode(part if isinstance(part, list) else part.tolist()) for part in parts]
    return msgspec.Raw(b"[%b]" % b",".join([step[1:-1] for step in steps]))


def _described(tensor: OutputTensor, parameters: dict[str, Sequence[str] | int] | None = None) -> _Output:
    if tensor.labels is not None:
        parameters = {"labels": tensor.labels, **(parameters or {})}
    return _Output(name=tensor.name, datatype=tensor.datatype, shape=tensor.shape, parameters=parameters)
