"""Whether all numbers of a weights file are finite is seen wherever in it one is not."""

import numpy as np
import pytest
from safetensors.numpy import save

from penstock.learning.weights_layout import is_finite
from penstock.make_way import STEP_BYTES

SIZE = STEP_BYTES  # four pieces of float32, eight of float64


def weights(dtype: str, place: int, value: float) -> bytes:
    first, second = np.ones(SIZE, dtype), np.ones(SIZE + 3, dtype)
    second[place] = value
    return save({"a": first, "b": second, "counts": np.full(5, -1), "empty": np.empty((0, 3), dtype)})


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("place", [0, SIZE // 2, SIZE + 2])
def test_one_number_that_is_not_is_found(dtype: str, value: float, place: int) -> None:
    assert is_finite(weights(dtype, place, 2.0))
    assert not is_finite(weights(dtype, place, value))


def test_large_numbers_are_finite_though_their_sum_is_not() -> None:
    assert is_finite(save({"a": np.full(SIZE, 3e38, np.float32)}))


@pytest.mark.parametrize("content", [b"", b"no", b"\xff" * 64])
def test_what_is_no_weights_file_is_not(content: bytes) -> None:
    assert not is_finite(content)


def test_others_are_let_in_between_small_steps() -> None:
    calls: list[None] = []
    is_finite(save({"a": np.ones(SIZE, np.float32)}), lambda: calls.append(None))
    assert len(calls) == SIZE * 4 // STEP_BYTES
