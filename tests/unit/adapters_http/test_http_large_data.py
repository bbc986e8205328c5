"""Long lists are read in pieces, to the same values as in one go, and what does not fit is found by counting."""

import json
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.adapters.http import json_data, large_data
from penstock.adapters.http.json_data import Tensor, read_data
from penstock.adapters.http.large_data import read_large_data
from penstock.serving.datatypes import DATATYPES
from penstock.serving.raw_tensors import datatype_of
from penstock.serving.refusals import BadInputError

STEP_BYTES = 16
SPACES = st.sampled_from(["", "", " ", "\n\t", " " * 40])
VALUES = {
    "bool": st.booleans(),
    "int": st.integers(-130, 300) | st.integers(-(2**63) - 1, 2**64),
    "float": st.floats(allow_nan=False, allow_infinity=False) | st.integers(-9, 9),
    "bytes": st.text(max_size=4) | st.sampled_from(['"', "\\", '\\",', "],[", "a" * 30]),
}
STRANGE: st.SearchStrategy[Any] = st.sampled_from([None, True, 1, 0.5, "a,b", [], [1], {"a": 1}])


@pytest.fixture(scope="module", autouse=True)
def short_steps() -> Any:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(large_data, "LARGE_BYTES", STEP_BYTES)
        yield


@st.composite
def tensors(draw: st.DrawFn) -> Tensor:
    """Mostly well formed; nested or flat, with spaces anywhere."""
    datatype = draw(st.sampled_from(sorted(DATATYPES)))
    kind = DATATYPES[datatype].kind
    width = 1 if kind == "bytes" else draw(st.integers(1, 4))
    values = st.lists(VALUES[kind], min_size=width, max_size=width)
    rows: list[Any] = draw(st.lists(values | (st.lists(VALUES[kind], max_size=3)), max_size=8))
    if draw(st.integers(0, 3)) == 0 and rows:
        rows[draw(st.integers(0, len(rows) - 1))] = [draw(STRANGE)]
    nested = draw(st.booleans())
    space = draw(SPACES)
    text = json.dumps(rows if nested else [one for row in rows for one in row], separators=(f"{space},{space}", ":"))
    shape = draw(st.sampled_from([[len(rows), width], [len(rows)], [len(rows) * width], [len(rows) + 1, width], []]))
    return Tensor(name="x", shape=shape, datatype=datatype, data=msgspec.Raw((space + text + space).encode()))


def outcome(read: Any, tensor: Tensor) -> list[Any] | None:
    """The values, if they are as many as the shape asks for, of a datatype that holds them."""
    datatype = datatype_of(tensor.name, tensor.datatype)
    try:
        values = read(tensor, datatype)
    except BadInputError:
        return None
    if not tensor.shape or not len(values) or len(values) != np.prod(tensor.shape):
        return None
    values = values.tolist() if isinstance(values, np.ndarray) else values
    if datatype.kind == "int" and not all(datatype.low <= value <= datatype.high for value in values):
        return None
    return [float(value) if datatype.kind == "float" else value for value in values]


@settings(max_examples=1000, deadline=None)
@given(tensors())
def test_in_pieces_and_in_one_go_the_same_is_read_and_the_same_refused(tensor: Tensor) -> None:
    assert outcome(read_large_data, tensor) == outcome(read_data, tensor)


@pytest.mark.parametrize(("datatype", "shape"), [("FP32", [400]), ("INT8", [20, 20]), ("BOOL", [400])])
@pytest.mark.parametrize("nested", [False, True])
def test_no_piece_is_much_longer_than_a_step(
    monkeypatch: pytest.MonkeyPatch, datatype: str, shape: list[int], nested: bool
) -> None:
    sizes: list[int] = []
    kind = DATATYPES[datatype].kind
    for decoders in (json_data.decode_flat, json_data.decode_nested):

        def noting(piece: bytes, decode: Any = decoders[kind]) -> Any:
            sizes.append(len(piece))
            return decode(piece)

        monkeypatch.setitem(decoders, kind, noting)
    values: Any = [True] * 400 if kind == "bool" else [1] * 400
    if nested:
        shape = [20, 20]
        values = [values[:20]] * 20
    data = msgspec.Raw(json.dumps(values).encode())
    read = read_large_data(Tensor(name="x", shape=shape, datatype=datatype, data=data), DATATYPES[datatype])
    assert len(read) == 400
    assert len(sizes) > 10
    assert max(sizes) < STEP_BYTES + 20 * len("true, ") + 4


@pytest.mark.parametrize(
    ("datatype", "shape", "text", "fragment"),
    [
        ("FP32", [1, 3], "[" + "1," * 50 + "1]", r"holds 51 values; its shape \[1, 3\] asks for 3"),
        ("FP32", [1, 3], "[" + "[]," * 50 + "[]]", "nested as 51 lists with 50 commas"),
        ("FP32", [20, 1], "[" + "[1]," * 19 + '["a"]]', r"data\[19\]\[0\]: expected float, got str"),
        ("FP32", [3, 2], "[[1.5,2.5],[3.5,4.5,5.5],[6.5]]", r"data\[1\] is a list of 3 values"),
        ("INT8", [40], "[" + "1," * 39 + "999]", "holds 999; INT8 takes finite values from -128 to 127"),
        ("FP32", [40], "[" + "1," * 38 + 'null,"a"]', r"data\[38\]: expected float, got null"),
        ("BYTES", [2], "[" + '"",' * 50 + '""]', r"holds 51 values or more; its shape \[2\] asks for 2"),
        ("BYTES", [2, 1], "[" + "[]," * 50 + "[]]", r"data\[0\]: expected array of length 1; BYTES"),
        ("BYTES", [4], '[["aaaaaa"],[""],[""],[""]]', r"nested as 4 lists of 1 values; its shape is \[4\]"),
        ("BYTES", [1, 40], "[" + '"",' * 39 + '""]', r"shape \[1, 40\]; BYTES takes \[n\] or \[n, 1\]"),
        ("FP32", [1], " " * 40 + '"a"', "data: expected array, got str"),
    ],
)
def test_what_does_not_fit_is_named(datatype: str, shape: list[int], text: str, fragment: str) -> None:
    tensor = Tensor(name="x", shape=shape, datatype=datatype, data=msgspec.Raw(text.encode()))
    with pytest.raises(BadInputError, match=fragment):
        read_large_data(tensor, datatype_of("x", datatype))
