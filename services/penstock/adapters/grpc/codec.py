"""Inference requests and responses of the Open Inference Protocol v2 as messages of gRPC."""

import json
import reprlib
from collections.abc import Mapping
from typing import Any, Final

import numpy as np

from penstock.adapters.grpc.messages import ModelInferResponse
from penstock.serving.aside import STEP_VALUES
from penstock.serving.inputs import beyond, check_rows
from penstock.serving.raw_tensors import datatype_of, num_values, read_raw, write_raw
from penstock.serving.refusals import BadInputError
from penstock.serving.requests import (
    InferRequest,
    InferResponse,
    InputTensor,
    OutputTensor,
    Parameters,
    RequestedOutput,
    Values,
)

CONTENTS: Final[Mapping[str, str]] = {
    "BOOL": "bool_contents",
    **dict.fromkeys(("INT8", "INT16", "INT32"), "int_contents"),
    "INT64": "int64_contents",
    **dict.fromkeys(("UINT8", "UINT16", "UINT32"), "uint_contents"),
    "UINT64": "uint64_contents",
    "FP32": "fp32_contents",
    "FP64": "fp64_contents",
    "BYTES": "bytes_contents",
}
"""The field of `InferTensorContents` by datatype; the others come raw only."""


def decode_request(message: Any, *, arrived_seconds: float, max_rows: int) -> InferRequest:
    """The request that a `ModelInferRequest` holds; of more than `max_rows` no values are read.

    Raises:
        BadInputError: names the input, what was given and what is expected.
    """
    raw, tensors = message.raw_input_contents, message.inputs
    if raw and len(raw) != len(tensors):
        raise BadInputError(
            f"There are {len(tensors)} inputs and {len(raw)} raw_input_contents; all inputs are raw, or none is."
        )
    for tensor in tensors:
        check_rows(tensor.name, tensor.shape, max_rows)
    return InferRequest(
        model=message.model_name,
        version=message.model_version or None,
        id=message.id or None,
        inputs=tuple([_tensor(tensor, raw[index] if raw else None) for index, tensor in enumerate(tensors)]),
        outputs=tuple(
            [RequestedOutput(name=one.name, parameters=_parameters(one.parameters)) for one in message.outputs]
        ),
        parameters=_parameters(message.parameters),
        arrived_seconds=arrived_seconds,
    )


def encode_response(response: InferResponse, *, raw: bool) -> Any:
    """As a `ModelInferResponse`, with raw contents or typed ones."""
    message = ModelInferResponse(model_name=response.model, model_version=response.version, id=response.id or "")
    for name, value in response.parameters.items():
        message.parameters[name].string_param = value
    for tensor in response.outputs:
        output = message.outputs.add(name=tensor.name, datatype=tensor.datatype, shape=tensor.shape)
        if tensor.labels is not None:
            output.parameters["labels"].string_param = json.dumps(tensor.labels, ensure_ascii=False)
        if raw:
            message.raw_output_contents.append(write_raw(tensor))
        else:
            _fill(output.contents, tensor)
    return message


def _tensor(tensor: Any, raw: bytes | None) -> InputTensor:
    shape = tuple(tensor.shape)
    if raw is None:
        values = _typed(tensor)
    elif tensor.HasField("contents"):
        raise BadInputError(f"Input {reprlib.repr(tensor.name)} has both contents and raw_input_contents; give one.")
    else:
        values = read_raw(tensor.name, tensor.datatype, shape, raw)
    return InputTensor(name=tensor.name, datatype=tensor.datatype, shape=shape, values=values)


def _typed(tensor: Any) -> Values:
    datatype_of(tensor.name, tensor.datatype)
    field = CONTENTS.get(tensor.datatype)
    if field is None:
        raise BadInputError(
            f"Input {reprlib.repr(tensor.name)} has datatype {tensor.datatype}, which comes in raw_input_contents only."
        )
    values = getattr(tensor.contents, field)
    if not values and tensor.contents.ByteSize():
        raise BadInputError(
            f"Input {reprlib.repr(tensor.name)} has no {field}, where values of {tensor.datatype} belong."
        )
    if len(given := tensor.contents.ListFields()) > 1:
        raise BadInputError(
            f"Input {reprlib.repr(tensor.name)} has {' and '.join(one.name for one, _ in given)}; "
            f"{tensor.datatype} takes {field} alone."
        )
    if len(values) > STEP_VALUES:
        wanted = num_values(tensor.name, tensor.shape)
        if len(values) != wanted:
            raise BadInputError(
                f"Input {reprlib.repr(tensor.name)} holds {len(values)} values; "
                f"its shape {reprlib.repr(list(tensor.shape))} asks for {wanted}."
            )
    if field != "bytes_contents":
        return list(values) if len(values) <= STEP_VALUES else _array_of(tensor, values)
    try:
        return [text.decode() for text in values]
    except UnicodeDecodeError:
        raise BadInputError(
            f"Input {reprlib.repr(tensor.name)} holds an element that is not UTF-8; texts and categories are."
        ) from None


def _array_of(tensor: Any, values: Any) -> Values:
    """Exact, and step by step: to copy millions at once would hold up all other threads."""
    datatype = datatype_of(tensor.name, tensor.datatype)
    kind = np.float64 if datatype.kind == "float" else datatype.layout
    steps = [values[at : at + STEP_VALUES] for at in range(0, len(values), STEP_VALUES)]
    try:
        return np.concatenate([np.array(step, dtype=kind) for step in steps])
    except OverflowError:
        bad = next(value for value in values if not datatype.low <= value <= datatype.high)
        raise beyond(tensor.name, tensor.datatype, bad) from None


def _fill(contents: Any, tensor: OutputTensor) -> None:
    if isinstance(tensor.values, np.ndarray):
        flat = tensor.values.ravel()
        for at in range(0, len(flat), STEP_VALUES):
            contents.fp32_contents.extend(flat[at : at + STEP_VALUES].tolist())
    else:
        contents.bytes_contents.extend(text.encode() for text in tensor.values)


def _parameters(given: Mapping[str, Any]) -> Parameters:
    return {name: _value(value) for name, value in given.items()} if given else {}


def _value(parameter: Any) -> object:
    field = parameter.WhichOneof("parameter_choice")
    return None if field is None else getattr(parameter, field)
