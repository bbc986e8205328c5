"""The diagonal of the Fisher information of the model's own distribution, exactly, with no label drawn.

For one row, F = Jᵀ (diag p − p pᵀ) J = Σ_c p_c g_c g_cᵀ with g_c the gradient of ln p_c. In the head that is
p_c (1 − p_c) φ_j² in closed form; below it, one pass back per class, over all rows at once.
"""

import torch
from torch import Tensor

from penstock.learning.adam import HEAD
from penstock.learning.backbones import Backbone
from penstock.learning.head import LinearHead

MOST_CLASSES = 8
"""Classes followed below the head, the likeliest of each row: exact up to so many, else a little too small."""


def squared_gradients(
    backbone: Backbone, head: LinearHead, features: Tensor, logits: Tensor, weights: Tensor
) -> dict[str, Tensor]:
    """Σ over rows of weight · diagonal of F, by name of tensor, between the backbone's passes forth and back.

    `features` [n, H] and `logits` [n, capacity] are those of the pass forth, its first n rows; `weights` [n, 1].
    """
    probabilities = torch.softmax(logits[:, : head.num_live], dim=1)
    found = {HEAD: _of_head(features, probabilities, weights)}
    rows = head.live_rows[:, : head.width]
    mean_row = probabilities @ rows
    for chances, classes in zip(*_likeliest(probabilities), strict=True):
        gradients = (chances.unsqueeze(1) * weights).sqrt() * (rows[classes] - mean_row)
        for name, squares in backbone.squared_gradients(gradients).items():
            found[name] = found[name].add_(squares) if name in found else squares
    return found


def _of_head(features: Tensor, probabilities: Tensor, weights: Tensor) -> Tensor:
    """[num_live, H + 1]."""
    variances = (probabilities * (1 - probabilities)).mul_(weights)
    return torch.cat((variances.t() @ features.square(), variances.sum(dim=0).unsqueeze(1)), dim=1)


def _likeliest(probabilities: Tensor) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
    """Chances and classes, each [n], of every row's likeliest class, its second, and so on."""
    chances, classes = probabilities.topk(min(MOST_CLASSES, probabilities.shape[1]), dim=1)
    return chances.unbind(dim=1), classes.unbind(dim=1)
