"""Inference requests of the Open Inference Protocol v2: JSON bodies, and binary tensors behind the JSON."""

import json
import math
import reprlib
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from penstock.adapters.http.json_data import Tensor, located, read_data
from penstock.adapters.http.large_data import MOST_READ_AGAIN_BYTES, check_outline, malformed, read_large_data
from penstock.serving.aside import LARGE_BYTES
from penstock.serving.datatypes import Datatype
from penstock.serving.inputs import check_rows
from penstock.serving.raw_tensors import datatype_of, read_raw
from penstock.serving.refusals import BadInputError
from penstock.serving.requests import InferRequest, InputTensor, RequestedOutput, Values

BINARY_DATA_SIZE = "binary_data_size"
BINARY_DATA, BINARY_DATA_OUTPUT = "binary_data", "binary_data_output"
HEADER_LENGTH = "Inference-Header-Content-Length"

Read = Callable[[Tensor, Datatype], Values]
MALFORMED = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


class _Output(msgspec.Struct):
    name: str
    parameters: dict[str, Any] | None = None


class _Request(msgspec.Struct):
    inputs: list[Tensor]
    id: str | None = None
    parameters: dict[str, Any] | None = None
    outputs: list[_Output] | None = None


_decode_request = msgspec.json.Decoder(_Request).decode


def decode_request(
    body: bytes, *, json_bytes: int | None, model: str, version: str | None, arrived_seconds: float, max_rows: int
) -> InferRequest:
    """The request that a body holds: JSON, the first `json_bytes` of it if binary tensors follow.

    One of more than `LARGE_BYTES` is read without a call that takes long, and with more than `max_rows` not at all.

    Raises:
        BadInputError: names the field or the input, what was given and what is expected.
    """
    text = body if json_bytes is None else body[:json_bytes]
    is_large = len(body) > LARGE_BYTES
    try:
        if is_large:
            check_outline(text)
        request = _decode_request(text)
    except msgspec.ValidationError as error:
        raise BadInputError(f"The body is not an inference request: {located(str(error), 'body')}.") from None
    except MALFORMED as error:
        raise _malformed(text, error) from None
    if request.parameters or request.outputs:
        _check_flags(request)
    if is_large:
        for tensor in request.inputs:
            check_rows(tensor.name, tensor.shape, max_rows)
    read = read_large_data if is_large else read_data
    if json_bytes is None:
        inputs = tuple([_tensor(tensor, read) for tensor in request.inputs])
    else:
        inputs = _with_binary(request.inputs, read, memoryview(body)[json_bytes:])
    return InferRequest(
        model=model,
        version=version,
        id=request.id,
        inputs=inputs,
        outputs=tuple([RequestedOutput(name=one.name, parameters=one.parameters or {}) for one in request.outputs])
        if request.outputs
        else (),
        parameters=request.parameters or {},
        arrived_seconds=arrived_seconds,
    )


def _check_flags(request: _Request) -> None:
    value = request.parameters.get(BINARY_DATA_OUTPUT) if request.parameters else None
    if value is not None and value is not True and value is not False:
        raise _no_flag(BINARY_DATA_OUTPUT, value, "the request")
    for one in request.outputs or ():
        value = one.parameters.get(BINARY_DATA) if one.parameters else None
        if value is not None and value is not True and value is not False:
            raise _no_flag(BINARY_DATA, value, f"output {reprlib.repr(one.name)}")


def _no_flag(key: str, value: Any, where: str) -> BadInputError:
    return BadInputError(f"Parameter {key!r} of {where} is {reprlib.repr(value)}; it is true or false.")


def _with_binary(tensors: Sequence[Tensor], read: Read, binary: memoryview) -> tuple[InputTensor, ...]:
    """Those that announce their size lie one behind the other."""
    inputs: list[InputTensor] = []
    at = 0
    for tensor in tensors:
        size = _binary_size(tensor)
        if size is None:
            inputs.append(_tensor(tensor, read))
            continue
        if size > len(binary) - at:
            raise BadInputError(
                f"Input {reprlib.repr(tensor.name)} begins at byte {at} of the binary data and takes "
                f"{reprlib.repr(size)}; there are {len(binary)}."
            )
        at += size
        values = read_raw(tensor.name, tensor.datatype, tensor.shape, binary[at - size : at])
        inputs.append(InputTensor(name=tensor.name, datatype=tensor.datatype, shape=tuple(tensor.shape), values=values))
    if at != len(binary):
        raise BadInputError(f"The inputs take {at} bytes of binary data; {len(binary)} follow the JSON.")
    return tuple(inputs)


def _binary_size(tensor: Tensor) -> int | None:
    size = None if tensor.parameters is None else tensor.parameters.get(BINARY_DATA_SIZE)
    if size is None:
        return None
    if not isinstance(size, int) or isinstance(size, bool) or size < 0:
        raise BadInputError(
            f"Input {reprlib.repr(tensor.name)} has {BINARY_DATA_SIZE} {reprlib.repr(size)}; it is a number of bytes."
        )
    if bytes(tensor.data):
        raise BadInputError(f"Input {reprlib.repr(tensor.name)} has both data and {BINARY_DATA_SIZE}; give one.")
    return size


def _tensor(tensor: Tensor, read: Read) -> InputTensor:
    if not bytes(tensor.data):
        raise BadInputError(_without_data(tensor))
    datatype = datatype_of(tensor.name, tensor.datatype)
    return InputTensor(
        name=tensor.name,
        datatype=tensor.datatype,
        shape=tuple(tensor.shape),
        values=read(tensor, datatype),
    )


def _without_data(tensor: Tensor) -> str:
    if tensor.parameters and BINARY_DATA_SIZE in tensor.parameters:
        return f"Input {reprlib.repr(tensor.name)} is binary, but the header {HEADER_LENGTH} is missing."
    return f"Input {reprlib.repr(tensor.name)} has no data; it is a list of values, or follows as {BINARY_DATA_SIZE}."


def _malformed(body: bytes, error: Exception) -> BadInputError:
    """Most bodies that are not JSON hold NaN or Infinity, which Python's own encoder writes: name the input."""
    reason = "it is nested too deeply" if isinstance(error, RecursionError) else str(error)
    if len(body) > MOST_READ_AGAIN_BYTES:
        return malformed(body, reason)
    try:
        for tensor in json.loads(body)["inputs"]:
            if not _is_finite(tensor["data"]):
                return BadInputError(
                    f"Input {reprlib.repr(tensor['name'])} holds NaN or Infinity, which JSON does not have; "
                    f"{reprlib.repr(tensor['datatype'])} takes finite numbers."
                )
    except (ValueError, LookupError, TypeError, RecursionError):
        pass  # the body is wrong in some other way, which the decoder has named
    return BadInputError(f"The body is not JSON: {reason}.")


def _is_finite(data: object) -> bool:
    if isinstance(data, list):
        return all(_is_finite(one) for one in data)
    return not isinstance(data, float) or math.isfinite(data)
