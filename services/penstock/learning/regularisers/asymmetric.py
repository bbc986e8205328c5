"""ER-ACE: fresh rows are told apart from the classes of fresh rows only.

Caccia et al., "New insights on reducing abrupt representation change in online continual learning" (ICLR 2022), eq. 4:
a burst of new classes then pushes no old class away; replayed rows are told apart from all.
"""

import torch
from torch import Tensor

from penstock.learning.regularisers.step import Step


class AsymmetricLoss:
    """Cross-entropy of fresh rows over the classes present among them: no gradient reaches another class's logit."""

    def adjust(self, gradients: Tensor, logits: Tensor, step: Step) -> None:
        """Put the fresh rows' gradient in the place of the one over all classes."""
        fresh = slice(0, step.num_fresh)
        classes, shares = step.classes[fresh], step.shares[fresh]
        absent = torch.ones(logits.shape[1], dtype=torch.bool, device=logits.device)
        absent[classes[:, 0]] = False
        among_present = torch.softmax(logits[fresh].masked_fill(absent, -torch.inf), dim=1)
        gradients[fresh] = among_present.mul_(shares).scatter_add_(1, classes, -shares)
