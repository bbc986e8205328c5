"""From the input tensors of a request to the columns the model reads, or a sentence on what does not fit."""

import reprlib
import struct
import sys
from collections import Counter
from collections.abc import Sequence
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from penstock.features import Feature, FeatureSchema
from penstock.learning.rows import Columns
from penstock.serving.datatypes import DATATYPES, FLOAT32_MAX, NUMERIC
from penstock.serving.refusals import BadInputError
from penstock.serving.requests import InputTensor, Values

EXPECTED_DATATYPE = {"number": "FP32", "vector": "FP32", "category": "BYTES", "text": "BYTES"}
TAKEN = {
    "number": "FP32 (or another numeric datatype, or BOOL)",
    "vector": "FP32 (or another numeric datatype, or BOOL)",
    "category": "BYTES (or an integer datatype, or BOOL, read as text)",
    "text": "BYTES",
}

MOST_ROWS = 2**63 - 1
LOWEST_INTEGER = -(2**63)
"""Of any datatype; a float64 rounds the integers below it to it."""
NAMED = 20
"""Names that a sentence lists: gRPC carries it in a header of 8 KiB."""


def columns_of_inputs(
    inputs: Sequence[InputTensor],
    schema: FeatureSchema,
    *,
    max_rows: int = MOST_ROWS,
    max_text_bytes: int = sys.maxsize,
) -> tuple[Columns, int]:
    """The columns by feature name, and their number of rows (at least 1, at most `max_rows`).

    No text in them has more than `max_text_bytes` in UTF-8.

    Raises:
        BadInputError: names the input, what was given and what is expected.
    """
    by_name = _by_name(inputs, schema)
    columns: dict[str, object] = {}
    num_rows = 0
    for feature in schema:
        tensor = by_name[feature.name]
        rows = _rows(tensor, feature)
        if num_rows and rows != num_rows:
            raise BadInputError(
                f"Input {feature.name!r} has {rows} rows and the inputs before it {num_rows}; "
                "all inputs must have the same number of rows."
            )
        if rows > max_rows:
            check_rows(tensor.name, tensor.shape, max_rows)
        num_rows = rows
        columns[feature.name] = column = _column(tensor, feature, rows)
        if isinstance(column, pa.Array) and column.nbytes > max_text_bytes:
            _check_lengths(tensor.name, column, max_text_bytes)
    return columns, num_rows


def check_rows(name: str, shape: Sequence[int], max_rows: int) -> None:
    """Of input `name`, before its values are read.

    Raises:
        BadInputError: there are more than `max_rows`.
    """
    if shape and shape[0] > max_rows:
        raise BadInputError(
            f"Input {reprlib.repr(name)} has {reprlib.repr(shape[0])} rows; a request takes at most {max_rows} "
            "(serving.max_request_rows)."
        )


def beyond(name: str, datatype: str, value: object) -> BadInputError:
    """Of a value that its datatype does not hold."""
    known = DATATYPES[datatype]
    return BadInputError(
        f"Input {reprlib.repr(name)} holds {reprlib.repr(value)}; {datatype} takes finite values "
        f"from {known.low:g} to {known.high:g}."
    )


def shown_shape(feature: Feature) -> str:
    """The shape a column has, for sentences."""
    return f"[n, {feature.width}]" if feature.kind == "vector" else "[n] or [n, 1]"


def _by_name(inputs: Sequence[InputTensor], schema: FeatureSchema) -> dict[str, InputTensor]:
    by_name = {tensor.name: tensor for tensor in inputs}
    names = [feature.name for feature in schema]
    if len(by_name) == len(inputs) and by_name.keys() == set(names):
        return by_name
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    expected = f"expected are exactly {', '.join(map(repr, names[:NAMED]))}{more}."
    for name in names:
        if name not in by_name:
            raise BadInputError(f"Input {name!r} is missing; {expected}")
    given = Counter(tensor.name for tensor in inputs)
    for name in given.keys() - set(names):
        raise BadInputError(f"Input {reprlib.repr(name)} is unknown; {expected}")
    twice = next(name for name in names if given[name] > 1)
    raise BadInputError(f"Input {twice!r} is given twice; {expected}")


def _rows(tensor: InputTensor, feature: Feature) -> int:
    shape = tensor.shape
    fits = (
        len(shape) == 2 and shape[1] == feature.width
        if feature.kind == "vector"
        else len(shape) == 1 or (len(shape) == 2 and shape[1] == 1)
    )
    if not fits or not 1 <= shape[0] <= MOST_ROWS:
        raise BadInputError(
            f"Input {feature.name!r} has shape {reprlib.repr(list(shape))}; "
            f"expected is {shown_shape(feature)} with n at least 1."
        )
    if len(tensor.values) != shape[0] * (feature.width or 1):
        raise BadInputError(
            f"Input {feature.name!r} holds {len(tensor.values)} values; "
            f"its shape {list(shape)} asks for {shape[0] * (feature.width or 1)}."
        )
    return shape[0]


def _column(tensor: InputTensor, feature: Feature, rows: int) -> object:
    if feature.kind == "category" or feature.kind == "text":
        return _texts(tensor, feature)
    if tensor.datatype not in NUMERIC:
        raise _wrong_datatype(tensor, feature)
    if feature.kind == "vector" and tensor.datatype == "FP32":
        singles = _singles(tensor)
        if np.isfinite(singles).all():
            return singles.reshape(rows, feature.dense_width)
    values = _numbers(tensor)
    low, high = values.min().item(), values.max().item()
    _check_range(tensor, low, high)
    if feature.kind == "number":
        return values.astype(np.float64, copy=values.base is not None)
    if low < -FLOAT32_MAX or high > FLOAT32_MAX:
        raise BadInputError(
            f"Input {tensor.name!r} holds a value beyond {FLOAT32_MAX:g}; a vector column takes what fits FP32."
        )
    return values.astype(np.float32).reshape(rows, feature.dense_width)


def _singles(tensor: InputTensor) -> npt.NDArray[np.float32]:
    """FP32 values, infinite where they do not fit it."""
    if isinstance(tensor.values, np.ndarray):
        with np.errstate(over="ignore"):
            return tensor.values.astype(np.float32)
    try:
        return np.frombuffer(struct.pack(f"{len(tensor.values)}f", *tensor.values), dtype=np.float32)
    except (struct.error, OverflowError):  # integers of dozens of digits
        return np.array([np.inf], dtype=np.float32)


def _numbers(tensor: InputTensor) -> npt.NDArray[np.generic]:
    if isinstance(tensor.values, np.ndarray):
        return tensor.values
    try:
        packed = struct.pack(f"{len(tensor.values)}d", *tensor.values)  # takes an eighth of the time of numpy.array
    except (struct.error, OverflowError):  # an integer of hundreds of digits
        return np.array([np.inf])
    return np.frombuffer(packed, dtype=np.float64)


def _check_range(tensor: InputTensor, low: Any, high: Any) -> None:
    datatype = DATATYPES[tensor.datatype]
    if low >= datatype.low and high <= datatype.high and low != LOWEST_INTEGER:  # false for NaN, too
        return
    bad = _first_beyond(tensor.values, datatype.low, datatype.high)
    if bad is None:  # the ends of 64 bits, to which a float64 rounds
        return
    raise beyond(tensor.name, tensor.datatype, bad)


def _first_beyond(values: Values, low: float, high: float) -> object:
    """The first that is not within both bounds, exactly; None if all are."""
    if isinstance(values, np.ndarray):
        numbers: npt.NDArray[Any] = values
        fits = (numbers >= low) & (numbers <= high)
        return None if fits.all() else numbers[fits.argmin()].item()
    return next((value for value in cast(Sequence[float], values) if not low <= value <= high), None)


def _texts(tensor: InputTensor, feature: Feature) -> object:
    kind = DATATYPES[tensor.datatype].kind
    if kind == "bytes":
        return pa.array(tensor.values, type=pa.string())
    if feature.kind == "text" or kind == "float":
        raise _wrong_datatype(tensor, feature)
    values = tensor.values.tolist() if isinstance(tensor.values, np.ndarray) else tensor.values
    _check_range(tensor, min(values), max(values))
    if kind == "bool":
        return pa.array(["true" if value else "false" for value in values], type=pa.string())
    return pa.array(map(str, values), type=pa.string())


def _check_lengths(name: str, texts: Any, max_text_bytes: int) -> None:
    longest = pc.max(pc.binary_length(texts)).as_py()
    if longest > max_text_bytes:
        raise BadInputError(
            f"Input {name!r} holds a text of {longest} bytes; at most {max_text_bytes} are taken "
            "(serving.max_text_bytes)."
        )


def _wrong_datatype(tensor: InputTensor, feature: Feature) -> BadInputError:
    return BadInputError(
        f"Input {tensor.name!r} has datatype {reprlib.repr(tensor.datatype)}; expected is {TAKEN[feature.kind]}."
    )
