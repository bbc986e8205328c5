"""Backbones as an operator would write them, named in configurations as `backbone_factories:…`."""

from typing import Any

import torch
from torch import Tensor, nn


def with_dropout(input_width: int, *, hidden: int = 12, dropout: float = 0.5) -> nn.Module:
    """Random in training, with batch statistics beside the parameters."""
    return nn.Sequential(
        nn.Linear(input_width, hidden), nn.BatchNorm1d(hidden), nn.ReLU(), nn.Dropout(dropout), nn.Linear(hidden, 6)
    )


def two_layers(input_width: int) -> nn.Module:
    """Every row on its own, the same in training."""
    return nn.Sequential(nn.Linear(input_width, 7), nn.Tanh(), nn.Linear(7, 4))


def partly_frozen(input_width: int) -> nn.Module:
    """Its first layer does not learn."""
    layers = nn.Sequential(nn.Linear(input_width, 8), nn.ReLU(), nn.Linear(8, 4))
    layers[0].requires_grad_(False)
    return layers


def wholly_frozen(input_width: int) -> nn.Module:
    """Nothing to learn but the head."""
    return nn.Linear(input_width, 8).requires_grad_(False)


def of_lists(input_width: int) -> nn.Module:
    """Returns what is no tensor."""

    class Lists(nn.Module):
        def forward(self, dense: Tensor) -> Any:
            return dense.tolist()

    return Lists()


def flat(input_width: int) -> nn.Module:
    """Loses the row axis."""
    return nn.Flatten(0)


def doubles(input_width: int) -> nn.Module:
    """Of another type."""
    return nn.Linear(input_width, 4).double()


def no_module(input_width: int) -> Any:
    """Not a module."""
    return input_width


def fails(input_width: int) -> nn.Module:
    """Raises."""
    raise RuntimeError("no such file: weights.safetensors")


def narrow(input_width: int) -> nn.Module:
    """Made for another width."""
    return nn.Linear(input_width + 1, 4)


def lazy(input_width: int) -> nn.Module:
    """Finds its width at the first row."""
    return nn.Sequential(nn.LazyLinear(5), nn.ReLU())


def seeded_probe(input_width: int) -> nn.Module:
    """Draws from torch's global generator, as initialisers do."""
    layer = nn.Linear(input_width, 3)
    layer.register_buffer("drawn", torch.rand(2))
    return layer


SIZES_SEEN: list[int] = []


def noting_sizes(input_width: int) -> nn.Module:
    """Notes how many rows each pass has, in `SIZES_SEEN`."""

    class NotingSizes(nn.Linear):
        def forward(self, dense: Tensor) -> Tensor:
            SIZES_SEEN.append(len(dense))
            return super().forward(dense)

    return NotingSizes(input_width, 4)
