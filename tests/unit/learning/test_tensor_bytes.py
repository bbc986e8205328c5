"""Arrays come back from their bytes as they were, however they lay in memory."""

import numpy as np
import numpy.typing as npt
import pytest
import safetensors
import safetensors.numpy

from penstock.learning.tensor_bytes import tensor_bytes

ROWS = np.arange(12, dtype=np.float32).reshape(3, 4)


@pytest.mark.parametrize(
    "array",
    [
        ROWS,
        np.asfortranarray(ROWS),
        ROWS.T,
        ROWS[::-1],
        ROWS[:, ::2],
        np.array(3.5),
        np.zeros((0, 4)),
        np.arange(3) > 1,
    ],
    ids=["by rows", "by columns", "transposed", "backwards", "every other", "a single one", "none", "bools"],
)
def test_an_array_is_the_same_behind_it(array: npt.NDArray[np.generic]) -> None:
    found = safetensors.numpy.load(tensor_bytes({"a": array}))["a"]
    assert (found.shape, found.dtype) == (array.shape, array.dtype)
    assert np.array_equal(found, array)


def test_bytes_do_not_depend_on_how_an_array_lay() -> None:
    assert tensor_bytes({"a": np.asfortranarray(ROWS)}, {"k": "v"}) == tensor_bytes({"a": ROWS}, {"k": "v"})
