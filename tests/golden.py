"""What an MLP over one vector column answers, by torch alone, from the tensors of the weights file."""

import numpy.typing as npt
import torch
from safetensors.torch import load

from penstock.flow import ModelUpdate
from penstock.learning.weights import read_card


def probabilities_by_torch(update: ModelUpdate, rows: npt.ArrayLike) -> torch.Tensor:
    """[n, classes] in float64 for rows [n, width] of the only feature."""
    assert update.inline is not None
    tensors = {name: tensor.double() for name, tensor in load(bytes(update.inline)).items()}
    constants = read_card(bytes(update.inline)).encoder
    (origin,), (scale,) = constants.origins.values(), constants.scales.values()
    inputs = (torch.as_tensor(rows, dtype=torch.float64) - origin) * scale
    hidden = torch.relu(inputs @ tensors["backbone.layers.0.weight"].T + tensors["backbone.layers.0.bias"])
    head = tensors["head.rows"]
    return torch.softmax(hidden @ head[:, :-1].T + head[:, -1], dim=1)
