"""What a candidate must pass before it is written or announced."""

import numpy as np
from safetensors.numpy import load

from penstock.errors import DivergedError
from penstock.flow import Weights


def refuse_non_finite(weights: Weights) -> None:
    """Raises `DivergedError` if any weight is NaN or infinite, naming the tensor."""
    for name, tensor in load(weights.content).items():
        if not np.isfinite(tensor).all():
            raise DivergedError(
                f"The weights of {name} are no longer finite; the last whole checkpoint is kept. "
                "Lower training.learning_rate and start again."
            )
