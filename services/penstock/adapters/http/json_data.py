"""The `data` of a tensor in JSON: a flat list, or one list a row."""

import itertools
import reprlib
from typing import Any, Literal

import msgspec

from penstock.serving.datatypes import Datatype
from penstock.serving.refusals import BadInputError
from penstock.serving.requests import Values

Kind = Literal["bool", "int", "float", "bytes"]
PYTHON_TYPES: dict[Kind, type] = {"bool": bool, "int": int, "float": float, "bytes": str}
WANTED: dict[Kind, str] = {
    "bool": "true or false",
    "int": "integers",
    "float": "finite numbers",
    "bytes": "strings",
}

decode_flat = {kind: msgspec.json.Decoder(list[python]).decode for kind, python in PYTHON_TYPES.items()}  # type: ignore[valid-type]  # a type by datatype
decode_nested = {kind: msgspec.json.Decoder(list[list[python]]).decode for kind, python in PYTHON_TYPES.items()}  # type: ignore[valid-type]  # as above


class Tensor(msgspec.Struct):
    """An input as JSON has it."""

    name: str
    shape: list[int]
    datatype: str
    data: msgspec.Raw = msgspec.Raw()
    parameters: dict[str, Any] | None = None


def read_data(tensor: Tensor, datatype: Datatype) -> Values:
    """Flat.

    Raises:
        BadInputError: it holds something else, or is nested otherwise than the shape.
    """
    try:
        flat: Values = decode_flat[datatype.kind](tensor.data)
        return flat
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        problem = str(error)
    try:
        rows: list[list[Any]] = decode_nested[datatype.kind](tensor.data)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        if bytes(tensor.data).replace(b" ", b"")[:2] == b"[[":
            problem = str(error)
        raise misfit(tensor, datatype, problem) from None
    lengths = {len(row) for row in rows}
    if len(tensor.shape) != 2 or len(rows) != tensor.shape[0] or lengths != {tensor.shape[1]}:
        raise BadInputError(
            f"Input {reprlib.repr(tensor.name)}: data is nested as {len(rows)} lists of "
            f"{' or '.join(map(str, sorted(lengths)[:4])) or 'no'} values; "
            f"its shape is {reprlib.repr(tensor.shape)}."
        )
    return list(itertools.chain.from_iterable(rows))


def misfit(tensor: Tensor, datatype: Datatype, problem: str) -> BadInputError:
    """Of what msgspec says about the data of an input."""
    return BadInputError(
        f"Input {reprlib.repr(tensor.name)}: {located(problem, 'data')}; {tensor.datatype} takes "
        f"{WANTED[datatype.kind]}, in a flat list or nested as the shape {reprlib.repr(tensor.shape)}."
    )


def located(problem: str, root: str) -> str:
    """What msgspec says as `Expected `float`, got `str` - at `$[3]``, as `data[3]: expected float, got str`."""
    what, _, path = problem.partition(" - at `$")
    what = what.replace("`", "")
    return f"{root}{path.rstrip('`')}: {what[0].lower()}{what[1:]}"
