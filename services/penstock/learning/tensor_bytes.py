"""Named arrays as the bytes of a safetensors file."""

from collections.abc import Mapping

import numpy as np
import safetensors.numpy

from penstock.flow import Array


def tensor_bytes(tensors: Mapping[str, Array], metadata: Mapping[str, str] | None = None) -> bytes:
    """Whatever the order in which their numbers lie in memory.

    The library writes memory as it lies and calls it row by row: an array by columns would come back as another one.
    """
    by_rows = {name: np.asarray(tensor, order="C") for name, tensor in tensors.items()}
    return safetensors.numpy.save(by_rows, metadata=None if metadata is None else dict(metadata))
