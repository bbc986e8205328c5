"""JSON of megabytes, without one call that takes long: each keeps all other threads waiting for its end.

What is wrong is found by counting, where that is possible. Long lists of numbers are read in pieces.
"""

import re
import reprlib
from collections.abc import Iterator
from typing import Any, Final

import msgspec
import numpy as np

from penstock.adapters.http.json_data import Tensor, decode_flat, decode_nested, misfit, read_data
from penstock.serving.aside import LARGE_BYTES
from penstock.serving.datatypes import Datatype
from penstock.serving.inputs import beyond
from penstock.serving.raw_tensors import num_values
from penstock.serving.refusals import BadInputError
from penstock.serving.requests import Values

MOST_BESIDE_BYTES: Final = 1_048_576
"""Of a request beside the data of its inputs: ten thousand columns take less."""
MOST_READ_AGAIN_BYTES: Final = 1_048_576
"""Of a body that is not JSON, to find out which input is to blame."""

_BEGINNING = re.compile(rb"[ \t\r\n]*\[[ \t\r\n]*(\[?)")
_BETWEEN_ROWS = re.compile(rb"\][ \t\r\n]*,")
_FIRST_INDEX = re.compile(r"\$\[(\d+)")
_PLACE = re.compile(r"\(byte (\d+)\)")
_NO_JSON = re.compile(rb"NaN|Infinity")


class _Input(msgspec.Struct):
    name: msgspec.Raw  # wanted as in the request, or a body of empty objects would make millions of these
    shape: msgspec.Raw
    data: msgspec.Raw = msgspec.Raw()


class _Request(msgspec.Struct):
    inputs: list[_Input]


_decode_outline = msgspec.json.Decoder(_Request).decode
_decode_single_texts = msgspec.json.Decoder(list[tuple[str]]).decode


def check_outline(text: bytes) -> None:
    """Refuse a request of which more than `MOST_BESIDE_BYTES` are no data.

    Raises:
        BadInputError: it is one.
        msgspec.DecodeError: it is no request at all.
    """
    if len(text) <= MOST_BESIDE_BYTES:
        return
    beside = len(text) - sum(memoryview(one.data).nbytes for one in _decode_outline(text).inputs)
    if beside > MOST_BESIDE_BYTES:
        raise BadInputError(
            f"The body has {beside} bytes beside the data of its inputs; at most {MOST_BESIDE_BYTES} are taken."
        )


def malformed(text: bytes, problem: str) -> BadInputError:
    """What the decoder says, or what stands where it stopped: Python's own encoder writes NaN and Infinity."""
    place = _PLACE.search(problem)
    found = None if place is None else _NO_JSON.match(text, int(place[1]))
    if place is None or found is None:
        return BadInputError(f"The body is not JSON: {problem}.")
    return BadInputError(
        f"The body holds {found[0].decode()} at byte {place[1]}: JSON has neither NaN nor Infinity, and inputs take "
        "finite numbers."
    )


def read_large_data(tensor: Tensor, datatype: Datatype) -> Values:
    """As `read_data`: the same values, as an array where they are many numbers."""
    if memoryview(tensor.data).nbytes <= LARGE_BYTES:
        return read_data(tensor, datatype)
    text = bytes(tensor.data)
    beginning = _BEGINNING.match(text)
    if beginning is None:
        return read_data(tensor, datatype)  # which stops at its first byte
    if datatype.kind == "bytes":
        return _read_texts(tensor, datatype, text, is_nested=bool(beginning[1]))
    _check_counts(tensor, text, is_nested=bool(beginning[1]))
    pieces = _read_rows(tensor, datatype, text, beginning) if beginning[1] else _read_flat(tensor, datatype, text)
    return np.concatenate([_array_of(tensor, datatype, values) for values in pieces])


def _read_texts(tensor: Tensor, datatype: Datatype, text: bytes, *, is_nested: bool) -> Values:
    if not tensor.shape or tensor.shape[1:] not in ([], [1]):
        raise BadInputError(
            f"Input {reprlib.repr(tensor.name)} has shape {reprlib.repr(tensor.shape)}; BYTES takes [n] or [n, 1]."
        )
    at_least = (text.count(b'"') - text.count(b'\\"')) // 2  # those behind a backslash may be within texts
    if at_least > tensor.shape[0]:
        raise BadInputError(
            f"Input {reprlib.repr(tensor.name)} holds {at_least} values or more; "
            f"its shape {reprlib.repr(tensor.shape)} asks for {reprlib.repr(tensor.shape[0])}."
        )
    if not is_nested:
        return read_data(tensor, datatype)
    try:
        values: list[Any] = [value for (value,) in _decode_single_texts(text)]
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise misfit(tensor, datatype, str(error)) from None
    if tensor.shape != [len(values), 1]:
        raise BadInputError(
            f"Input {reprlib.repr(tensor.name)}: data is nested as {len(values)} lists of 1 values; "
            f"its shape is {reprlib.repr(tensor.shape)}."
        )
    return values


def _check_counts(tensor: Tensor, text: bytes, *, is_nested: bool) -> None:
    wanted, shape = num_values(tensor.name, tensor.shape), tensor.shape
    num_commas, num_lists = text.count(b","), text.count(b"[") - 1
    if not is_nested and num_commas + 1 != wanted:
        raise BadInputError(
            f"Input {reprlib.repr(tensor.name)} holds {num_commas + 1} values; "
            f"its shape {reprlib.repr(shape)} asks for {reprlib.repr(wanted)}."
        )
    if is_nested and (len(shape) != 2 or num_lists != shape[0] or num_commas + 1 != wanted):
        raise BadInputError(
            f"Input {reprlib.repr(tensor.name)}: data is nested as {num_lists} lists with {num_commas} commas between "
            f"their values; its shape is {reprlib.repr(shape)}."
        )


def _read_flat(tensor: Tensor, datatype: Datatype, text: bytes) -> Iterator[list[Any]]:
    at, end, before = text.index(b"[") + 1, text.rindex(b"]"), 0
    while at <= end:
        cut = text.find(b",", min(at + LARGE_BYTES, end), end)
        cut = end if cut < 0 else cut
        values = _decoded(decode_flat[datatype.kind], tensor, datatype, text[at:cut], before)
        yield values
        at, before = cut + 1, before + len(values)


def _read_rows(tensor: Tensor, datatype: Datatype, text: bytes, beginning: re.Match[bytes]) -> Iterator[list[Any]]:
    at, end, before = beginning.end() - 1, text.rindex(b"]"), 0
    while at < end:
        found = _BETWEEN_ROWS.search(text, min(at + LARGE_BYTES, end), end)
        cut, following = (end, end) if found is None else (found.start() + 1, found.end())
        rows = _decoded(decode_nested[datatype.kind], tensor, datatype, text[at:cut], before)
        for place, row in enumerate(rows, before):
            if len(row) != tensor.shape[1]:
                raise BadInputError(
                    f"Input {reprlib.repr(tensor.name)}: data[{place}] is a list of {len(row)} values; "
                    f"its shape is {reprlib.repr(tensor.shape)}."
                )
        yield [value for row in rows for value in row]
        at, before = following, before + len(rows)


def _decoded(decode: Any, tensor: Tensor, datatype: Datatype, piece: bytes, before: int) -> list[Any]:
    """A piece of a list, behind `before` elements."""
    try:
        values: list[Any] = decode(b"[%b]" % piece)
        return values
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        problem = _FIRST_INDEX.sub(lambda index: f"$[{int(index[1]) + before}", str(error))
        raise misfit(tensor, datatype, problem) from None


def _array_of(tensor: Tensor, datatype: Datatype, values: list[Any]) -> "np.ndarray[Any, Any]":
    """Exact: integers as their datatype lays them out, all floats in 64 bits."""
    try:
        return np.array(values, dtype=np.float64 if datatype.kind == "float" else datatype.layout)
    except OverflowError:
        bad = next(value for value in values if not datatype.low <= value <= datatype.high)
        raise beyond(tensor.name, tensor.datatype, bad) from None
