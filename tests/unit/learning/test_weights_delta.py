"""A delta over its base is the newer file to the byte, and nothing else is taken for one."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.errors import RefusedUpdateError
from penstock.flow import Array
from penstock.learning.weights_content import CHUNK_BYTES, Digest, MemoryContent, read
from penstock.learning.weights_delta import PatchedContent, delta_between
from penstock.learning.weights_layout import Layout, StoredTensors

PLENTY = 1 << 30
DTYPES = [np.float32, np.float64, np.int64, np.uint8, np.bool_]


def file_of(tensors: Mapping[str, Array], card: str = "{}") -> bytes:
    content: bytes = safetensors.numpy.save(dict(tensors), metadata={"penstock": card})
    return content


def patched(base: bytes, delta: bytes) -> PatchedContent:
    content = MemoryContent(base)
    return PatchedContent(content, Layout.of(content), delta)


def whole(content: PatchedContent) -> bytes:
    return read(content, 0, content.size_bytes)


def array_of(dtype: type[Any], shape: list[int], seed: int) -> Array:
    array: Array = np.random.default_rng(seed).integers(0, 3, size=shape).astype(dtype)
    return np.asarray(array)


tensors_by_name = st.dictionaries(
    st.sampled_from(["backbone.a", "backbone.b", "head.rows", "heads.near/rows"]),
    st.builds(array_of, st.sampled_from(DTYPES), st.lists(st.integers(0, 5), max_size=3), st.integers(0, 9)),
    max_size=4,
)


@st.composite
def successive(draw: st.DrawFn) -> tuple[bytes, bytes]:
    """Two files: the newer has tensors of the older as they are, with a row changed, longer, shorter or anew."""
    before = draw(tensors_by_name)
    after: dict[str, Array] = dict(draw(tensors_by_name))
    for name, array in before.items():
        way = draw(st.sampled_from(["same", "rows", "longer", "shorter", "other"]))
        if way == "same" or (way != "other" and (array.ndim == 0 or array.size == 0)):
            after[name] = array
        elif way == "rows":
            changed = array.copy()
            changed[draw(st.integers(0, len(array) - 1))] = 1
            after[name] = changed
        elif way == "longer":
            after[name] = np.concatenate([array, array[:1]])
        elif way == "shorter":
            after[name] = array[:-1].copy()
    cards = st.sampled_from(["{}", '{"ledger": 1}'])
    return file_of(before, draw(cards)), file_of(after, draw(cards))


@settings(deadline=None)
@given(successive(), st.integers(0, 600), st.integers(0, 600))
def test_any_file_comes_out_of_any_other_to_the_byte(files: tuple[bytes, bytes], start: int, stop: int) -> None:
    base, newer = files
    delta = delta_between(base, newer, max_bytes=PLENTY)
    assert delta is not None
    content = patched(base, delta)
    assert whole(content) == newer
    start, stop = sorted((min(start, len(newer)), min(stop, len(newer))))
    assert read(content, start, stop - start) == newer[start:stop]
    layout = Layout.of(MemoryContent(base))
    digest = Digest(MemoryContent(base))
    found = digest.with_changes_from(content.layout.first_difference(layout, content.changed), content)
    assert found == hashlib.sha256(newer).hexdigest()


@settings(deadline=None)
@given(tensors_by_name)
def test_tensors_read_one_by_one_are_those_that_the_library_reads(tensors: dict[str, Array]) -> None:
    content = MemoryContent(file_of(tensors))
    stored = StoredTensors(content, Layout.of(content))
    assert set(stored) == set(tensors)
    for name, array in safetensors.numpy.load(file_of(tensors)).items():
        assert np.array_equal(stored[name], array)
        assert (stored[name].dtype, stored[name].shape) == (array.dtype, array.shape)


@settings(deadline=None, max_examples=200)
@given(tensors_by_name, st.data())
def test_a_spoilt_header_is_refused_where_the_library_refuses_it(
    tensors: dict[str, Array], data: st.DataObject
) -> None:
    content = bytearray(file_of(tensors))
    length = int.from_bytes(content[:8], "little")
    content[data.draw(st.integers(0, 7 + length))] = data.draw(st.integers(0, 255))
    try:
        safetensors.numpy.load(bytes(content))
    except Exception:  # of many kinds
        with pytest.raises(RefusedUpdateError):
            Layout.of(MemoryContent(bytes(content)))


def test_the_digest_goes_on_from_the_last_whole_chunk_before_the_change() -> None:
    rows = np.arange(3 * CHUNK_BYTES // 4, dtype=np.float32).reshape(-1, 256)
    small = np.zeros(4, dtype=np.float32)
    base, newer = file_of({"a": rows, "b": small}), file_of({"a": rows, "b": small + 1})
    delta = delta_between(base, newer, max_bytes=PLENTY)
    assert delta is not None
    content = patched(base, delta)
    begins: list[int] = []

    class Watched:
        size_bytes = content.size_bytes

        def read_into(self, offset: int, into: memoryview) -> None:
            begins.append(offset)
            content.read_into(offset, into)

        def view(self, offset: int, size_bytes: int) -> None:
            return None

    start = content.layout.first_difference(Layout.of(MemoryContent(base)), content.changed)
    found = Digest(MemoryContent(base)).with_changes_from(start, Watched())
    assert found == hashlib.sha256(newer).hexdigest()
    assert begins == [3 * CHUNK_BYTES]


def test_a_few_rows_of_a_large_table_make_a_small_delta() -> None:
    table = np.random.default_rng(0).normal(size=(16_384, 64)).astype(np.float32)
    newer = table.copy()
    newer[[3, 77, 16_000]] += 1
    delta = delta_between(file_of({"t": table}), file_of({"t": newer}), max_bytes=PLENTY)
    assert delta is not None
    assert len(delta) < 2000


def test_what_would_be_longer_than_allowed_is_none() -> None:
    zeros, ones = np.zeros(1000, dtype=np.float32), np.ones(1000, dtype=np.float32)
    assert delta_between(file_of({"t": zeros}), file_of({"t": ones}), max_bytes=3999) is None
    assert delta_between(file_of({"t": zeros}), file_of({"t": ones}), max_bytes=5000) is not None


BASE = file_of({"t": np.arange(12, dtype=np.float32).reshape(4, 3)})
LONGER = Layout.of(MemoryContent(file_of({"t": np.zeros((5, 3), dtype=np.float32)}))).header
U8 = np.uint8


@pytest.mark.parametrize(
    "parts",
    [
        None,
        {"other": np.zeros(1, U8)},
        {"tensor/x": np.zeros(48, U8)},
        {"tensor/t": np.zeros(47, U8)},
        {"tensor/t": np.zeros(12, np.float32)},
        {"values/t": np.zeros((1, 12), U8)},
        {"rows/t": np.zeros(1, np.int64)},
        {"rows/t": np.zeros(1, np.int64), "values/t": np.zeros((2, 12), U8)},
        {"rows/t": np.zeros(1, np.int64), "values/t": np.zeros((1, 11), U8)},
        {"rows/t": np.zeros(1, np.int32), "values/t": np.zeros((1, 12), U8)},
        {"rows/t": np.array([4]), "values/t": np.zeros((1, 12), U8)},
        {"rows/t": np.array([-1]), "values/t": np.zeros((1, 12), U8)},
        {"rows/t": np.zeros((1, 1), np.int64), "values/t": np.zeros((1, 12), U8)},
        {"header": np.frombuffer(LONGER, U8)},
    ],
)
def test_what_does_not_fit_the_base_is_refused(parts: dict[str, Any] | None) -> None:
    delta = b"no delta" if parts is None else safetensors.numpy.save(parts)
    with pytest.raises(RefusedUpdateError) as refused:
        patched(BASE, delta)
    assert refused.value.reason == "delta"


def test_a_header_that_is_none_is_refused() -> None:
    header = (2).to_bytes(8, "little") + json.dumps([]).encode()
    with pytest.raises(RefusedUpdateError):
        patched(BASE, safetensors.numpy.save({"header": np.frombuffer(header, U8)}))
