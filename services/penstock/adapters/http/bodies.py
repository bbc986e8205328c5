"""Inference requests and responses of the Open Inference Protocol v2 as JSON bodies."""

import itertools
import json
import math
import reprlib
from collections.abc import Sequence
from typing import Any, Literal

import msgspec

from penstock.serving.datatypes import DATATYPES, Datatype
from penstock.serving.refusals import BadInputError
from penstock.serving.requests import InferRequest, InferResponse, InputTensor, OutputTensor, Values

Kind = Literal["bool", "int", "float", "bytes"]
PYTHON_TYPES: dict[Kind, type] = {"bool": bool, "int": int, "float": float, "bytes": str}
WANTED: dict[Kind, str] = {
    "bool": "true or false",
    "int": "integers",
    "float": "finite numbers",
    "bytes": "strings",
}
MALFORMED = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


class _Input(msgspec.Struct):
    name: str
    shape: list[int]
    datatype: str
    data: msgspec.Raw
    parameters: dict[str, Any] | None = None


class _Output(msgspec.Struct):
    name: str
    parameters: dict[str, Any] | None = None


class _Request(msgspec.Struct):
    inputs: list[_Input]
    id: str | None = None
    parameters: dict[str, Any] | None = None
    outputs: list[_Output] | None = None


class _OutputTensor(msgspec.Struct, omit_defaults=True):
    name: str
    datatype: str
    shape: tuple[int, ...]
    data: Sequence[float | str]
    parameters: dict[str, Sequence[str]] | None = None


class _Response(msgspec.Struct, omit_defaults=True):
    model_name: str
    model_version: str
    parameters: dict[str, str]
    outputs: list[_OutputTensor]
    id: str | None = None


_decode_request = msgspec.json.Decoder(_Request).decode
_decode_flat = {kind: msgspec.json.Decoder(list[python]).decode for kind, python in PYTHON_TYPES.items()}  # type: ignore[valid-type]  # a type by datatype
_decode_nested = {kind: msgspec.json.Decoder(list[list[python]]).decode for kind, python in PYTHON_TYPES.items()}  # type: ignore[valid-type]  # as above
_encode = msgspec.json.Encoder().encode


def decode_request(body: bytes, *, model: str, version: str | None) -> InferRequest:
    """The request that a JSON body holds.

    Raises:
        BadInputError: names the field or the input, what was given and what is expected.
    """
    try:
        request = _decode_request(body)
    except msgspec.ValidationError as error:
        raise BadInputError(f"The body is not an inference request: {_located(str(error), 'body')}.") from None
    except MALFORMED as error:
        raise _malformed(body, error) from None
    outputs = None if request.outputs is None else tuple(output.name for output in request.outputs)
    return InferRequest(
        model=model,
        version=version,
        id=request.id,
        inputs=tuple(_tensor(tensor) for tensor in request.inputs),
        outputs=outputs,
    )


def encode_response(response: InferResponse) -> bytes:
    """As JSON; tensors flat, row-major."""
    parameters = {"trained_until": response.trained_until, "sha256": response.sha256}
    if response.prediction_id is not None:
        parameters["prediction_id"] = response.prediction_id
    return _encode(
        _Response(
            model_name=response.model,
            model_version=response.version,
            parameters=parameters,
            outputs=[_output(tensor) for tensor in response.outputs],
            id=response.id,
        )
    )


def _output(tensor: OutputTensor) -> _OutputTensor:
    values = tensor.values
    return _OutputTensor(
        name=tensor.name,
        datatype=tensor.datatype,
        shape=tensor.shape,
        data=values if isinstance(values, list) else values.ravel().tolist(),  # type: ignore[union-attr]  # an array
        parameters=None if tensor.labels is None else {"labels": tensor.labels},
    )


def _tensor(tensor: _Input) -> InputTensor:
    datatype = DATATYPES.get(tensor.datatype)
    if datatype is None:
        raise BadInputError(
            f"Input {reprlib.repr(tensor.name)} has datatype {reprlib.repr(tensor.datatype)}; "
            f"known are {', '.join(DATATYPES)}."
        )
    return InputTensor(
        name=tensor.name,
        datatype=tensor.datatype,
        shape=tuple(tensor.shape),
        values=_values(tensor, datatype),
    )


def _values(tensor: _Input, datatype: Datatype) -> Values:
    """Flat. `data` is a flat list, or one list a row."""
    try:
        flat: Values = _decode_flat[datatype.kind](tensor.data)
        return flat
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        problem = str(error)
    try:
        rows: list[list[Any]] = _decode_nested[datatype.kind](tensor.data)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        if bytes(tensor.data).replace(b" ", b"")[:2] == b"[[":
            problem = str(error)
        raise BadInputError(
            f"Input {reprlib.repr(tensor.name)}: {_located(problem, 'data')}; {tensor.datatype} takes "
            f"{WANTED[datatype.kind]}, in a flat list or nested as the shape {reprlib.repr(tensor.shape)}."
        ) from None
    lengths = {len(row) for row in rows}
    if len(tensor.shape) != 2 or len(rows) != tensor.shape[0] or lengths != {tensor.shape[1]}:
        raise BadInputError(
            f"Input {reprlib.repr(tensor.name)}: data is nested as {len(rows)} lists of "
            f"{' or '.join(map(str, sorted(lengths)[:4])) or 'no'} values; "
            f"its shape is {reprlib.repr(tensor.shape)}."
        )
    return list(itertools.chain.from_iterable(rows))


def _located(problem: str, root: str) -> str:
    """What msgspec says as `Expected `float`, got `str` - at `$[3]``, as `data[3]: expected float, got str`."""
    what, _, path = problem.partition(" - at `$")
    what = what.replace("`", "")
    return f"{root}{path.rstrip('`')}: {what[0].lower()}{what[1:]}"


def _malformed(body: bytes, error: Exception) -> BadInputError:
    """Most bodies that are not JSON hold NaN or Infinity, which Python's own encoder writes: name the input."""
    try:
        for tensor in json.loads(body)["inputs"]:
            if not _is_finite(tensor["data"]):
                return BadInputError(
                    f"Input {reprlib.repr(tensor['name'])} holds NaN or Infinity, which JSON does not have; "
                    f"{reprlib.repr(tensor['datatype'])} takes finite numbers."
                )
    except (ValueError, LookupError, TypeError, RecursionError):
        pass  # the body is wrong in some other way, which the decoder has named
    reason = "it is nested too deeply" if isinstance(error, RecursionError) else str(error)
    return BadInputError(f"The body is not JSON: {reason}.")


def _is_finite(data: object) -> bool:
    if isinstance(data, list):
        return all(_is_finite(one) for one in data)
    return not isinstance(data, float) or math.isfinite(data)
