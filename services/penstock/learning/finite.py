"""Weights that are no longer finite are never captured."""

from collections.abc import Mapping

import numpy as np

from penstock.errors import DivergedError
from penstock.flow import Array


def check_finite(tensors: Mapping[str, Array], step: int, learning_rate: float | str) -> None:
    """Return if every number is finite. Raises `DivergedError`, which names the weights and the way out."""
    for name, tensor in tensors.items():
        if tensor.dtype.kind == "f" and not np.isfinite(tensor).all():
            raise DivergedError(
                f"The weights {name!r} are no longer finite at step {step}; training.learning_rate is"
                f" {learning_rate}: lower it and start again from the last checkpoint."
            )
