"""The lists of a vector column are read together, and each as if it were alone."""

import json
from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.wire import vector_texts
from penstock.wire.vector_texts import ReadVectors, VectorText, VectorTexts
from penstock.wire.vectors import VectorColumn

WIDTH = 3
TOGETHER = VectorTexts(WIDTH)

numbers = st.one_of(
    st.floats(allow_nan=False, allow_infinity=False),
    st.integers(-(2**64), 2**65),
    st.sampled_from([0.0, -0.0, 2**53 + 1, 16777217, 1.17549435e-38, 5e-324, 3.4028235677973366e38]),
)
lists = st.lists(numbers, min_size=WIDTH, max_size=WIDTH).map(json.dumps)
ODD = ["[]", "[1]", "[1,2,3,4]", "[[1],2,3]", "[[1],[2],[3]]", '["1",2,3]', "[1,null,3]", "[true,2,3]", "[{},2,3]"]
SPACED = ["[ 1 ,\n2,\t3 ]", "[1e5,-0,0.1E-3]", "[1e400,2,3]", "null", "7", '"[1,2,3]"']
odd_texts = st.sampled_from([*ODD, *SPACED])


@pytest.fixture
def one_by_one(monkeypatch: pytest.MonkeyPatch) -> VectorTexts:
    """What reads where there is no simdjson."""
    monkeypatch.setattr(vector_texts, "simdjson", None)
    return VectorTexts(WIDTH)


def raw(*texts: str) -> list[VectorText]:
    return [msgspec.Raw(text.encode()) for text in texts]


def rows(read: ReadVectors) -> list[tuple[bool, bytes]]:
    """Whether each row is null, and its float32 bit for bit."""
    column = VectorColumn.of(read.column, WIDTH)
    ends = zip(column.offsets[:-1].tolist(), column.offsets[1:].tolist(), strict=True)
    return [(bool(null), column.values[a:b].tobytes()) for null, (a, b) in zip(column.null, ends, strict=True)]


@settings(max_examples=200, deadline=None)
@given(st.lists(st.one_of(lists, lists, lists, odd_texts), min_size=1, max_size=6))
def test_neighbours_change_nothing(texts: list[str]) -> None:
    together = TOGETHER.read(raw(*texts))
    alone = [TOGETHER.read(raw(text)) for text in texts]
    assert rows(together) == [row for read in alone for row in rows(read)]
    assert sorted(together.errors) == [row for row, read in enumerate(alone) if read.errors]


def values_of(read: ReadVectors) -> Any:
    return VectorColumn.of(read.column, WIDTH).values


def test_both_ways_of_reading_give_the_same_float32_bit_for_bit(one_by_one: VectorTexts) -> None:
    generator = np.random.default_rng(0)
    magnitudes = 10.0 ** generator.integers(-45, 38, size=(500, WIDTH))
    texts = raw(*(json.dumps(row) for row in (generator.normal(size=(500, WIDTH)) * magnitudes).tolist()))
    together = TOGETHER.read(texts)
    assert str(together.column.type) == "fixed_size_list<item: float>[3]", "they were read together"
    assert values_of(together).tobytes() == values_of(one_by_one.read(texts)).tobytes()


@pytest.mark.parametrize(
    "texts",
    [("[1,2]", "[3,4,5,6]"), ("[]", "[1,2,3]"), ("[[1],[2],[3]]",), ("[1,2,3,4,5,6,7]",), ("[1,2,3]", "[[4],5,6]")],
)
def test_numbers_never_move_from_one_list_to_another(texts: Sequence[str]) -> None:
    read = TOGETHER.read(raw(*texts))
    expected = [json.loads(text) for text in texts]
    kept = [all(isinstance(number, int) for number in row) for row in expected]
    assert [row for row in range(len(texts)) if row in read.errors] == [
        at for at, is_kept in enumerate(kept) if not is_kept
    ]
    assert read.column.to_pylist() == [row if is_kept else None for row, is_kept in zip(expected, kept, strict=True)]


def test_what_is_missing_is_null_and_no_error() -> None:
    read = TOGETHER.read([msgspec.Raw(b"[1,2,3]"), None, [float("nan"), 2.0, 3.0], msgspec.Raw(b"null")])
    assert read.column.is_null().to_pylist() == [False, True, False, True]
    assert not read.errors


def test_a_reader_goes_on_after_a_text_that_does_not_read() -> None:
    reader = VectorTexts(WIDTH)
    assert set(reader.read(raw("[1,2,3]", "[1,null,3]")).errors) == {1}
    assert str(reader.read(raw("[1,2,3]")).column.type) == "fixed_size_list<item: float>[3]", "read together again"
