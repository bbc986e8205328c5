"""Raw bytes to values and back; whatever the bytes, a value or a sentence."""

import math
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.serving.datatypes import DATATYPES
from penstock.serving.raw_tensors import read_raw, write_raw
from penstock.serving.refusals import BadInputError
from penstock.serving.requests import OutputTensor


def packed(texts: list[bytes]) -> bytes:
    return b"".join(struct.pack("<I", len(text)) + text for text in texts)


@given(st.lists(st.text(max_size=20), max_size=20))
def test_texts_come_back_as_they_were_written(texts: list[str]) -> None:
    raw = write_raw(OutputTensor(name="label", datatype="BYTES", shape=(len(texts),), values=texts))
    assert raw == packed([text.encode() for text in texts])
    assert read_raw("label", "BYTES", [len(texts)], raw) == texts


@pytest.mark.parametrize("datatype", sorted(set(DATATYPES) - {"BYTES", "BF16"}))
def test_numbers_are_little_endian(datatype: str) -> None:
    layout = DATATYPES[datatype].layout
    raw = np.array([0, 1, 1, 0], dtype=layout).tobytes()
    values = read_raw("x", datatype, [2, 2], memoryview(raw))
    assert isinstance(values, np.ndarray)
    assert values.tolist() == [0, 1, 1, 0]
    with pytest.raises(BadInputError, match=rf"'x' holds {len(raw)} bytes; {datatype} in shape \[1, 2\] takes"):
        read_raw("x", datatype, [1, 2], raw)


def test_bfloat16_is_the_upper_half_of_fp32() -> None:
    rows = np.array([-1.5, 0.0, 2.0, math.inf], dtype=np.float32)
    halves = (rows.view(np.uint32) >> 16).astype("<u2").tobytes()
    assert np.asarray(read_raw("x", "BF16", [4], halves)).tolist() == rows.tolist()


@given(st.sampled_from(sorted(DATATYPES)), st.lists(st.integers(-3, 5), max_size=3), st.binary(max_size=40))
def test_any_bytes_are_values_of_that_number_or_a_sentence(datatype: str, shape: list[int], raw: bytes) -> None:
    try:
        found = len(read_raw("x", datatype, shape, raw))
    except BadInputError as error:
        said = str(error)
    else:
        said = f"'x' {found}"
        assert found == math.prod(shape)
    assert "'x'" in said


@pytest.mark.parametrize(
    ("raw", "fragment"),
    [
        (packed([b"a", b"b"])[:-1], "element 1 goes beyond its 9 bytes"),
        (packed([b"a", b"b"])[:7], "element 1 goes beyond"),
        (b"\xff\xff\xff\xffabc", "element 0 goes beyond"),
        (packed([b"a", b"\xff"]), "element 1 is not UTF-8"),
        (packed([b"a"]), "holds 1 elements; its shape asks for 2"),
        (packed([b"a"] * 3), "holds more elements than the 2"),
    ],
)
def test_texts_that_are_not_whole_are_named(raw: bytes, fragment: str) -> None:
    with pytest.raises(BadInputError, match=fragment):
        read_raw("note", "BYTES", [2], raw)
