"""DER++: replayed rows are held to what the model said of them when they were put away.

Buzzega et al., "Dark experience for general continual learning" (NeurIPS 2020), eq. 6, on the 8 largest logits of then,
so that only columns that existed then are compared and a row costs 96 bytes whatever the number of classes.
"""

from torch import Tensor

from penstock.learning.regularisers.step import Step


class DarkExperience:
    """Adds weight · Σ share · mean over the remembered columns of (z − z_then)²; 0 right after the row was put away."""

    def __init__(self, weight: float) -> None:
        self._weight = weight

    def adjust(self, gradients: Tensor, logits: Tensor, step: Step) -> None:
        """Of the drawn rows; those of which nothing is remembered are left alone."""
        if step.remembered is None or step.num_fresh == len(logits):
            return
        columns = step.remembered.columns
        known = columns >= 0
        places = columns.clamp(min=0)
        drawn = logits[step.num_fresh :]
        differences = (drawn.gather(1, places) - step.remembered.values).where(known, 0.0)
        counts = known.sum(dim=1, keepdim=True).clamp(min=1)
        differences *= 2 * self._weight * step.shares[step.num_fresh :] / counts
        gradients[step.num_fresh :].scatter_add_(1, places, differences)
