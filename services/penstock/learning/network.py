"""Encoder aside, everything between encoded rows and class probabilities; trainer and replica share it."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from penstock.flow import Array
from penstock.learning.backbones import Backbone, build_backbone
from penstock.learning.config import BackboneConfig
from penstock.learning.encoder import Encoder
from penstock.learning.head import LinearHead
from penstock.learning.rows import EncodedRows
from penstock.learning.standardiser import Standardiser
from penstock.learning.tensors import host_tensor

BACKBONE = "backbone."
HEAD = "head.rows"
MEAN = "standardiser.mean"
INVERSE_DEVIATION = "standardiser.inverse_deviation"


@dataclass(frozen=True, kw_only=True)
class Network:
    """Standardise, backbone, head."""

    standardiser: Standardiser
    backbone: Backbone
    head: LinearHead
    device: torch.device

    def features(self, standardised: Tensor, tokens: Tensor) -> Tensor:
        """[n, H] of `standardised` [n, D] and `tokens` [n, T]."""
        features: Tensor = self.backbone(standardised, tokens)
        return features

    def logits(self, dense: Tensor, tokens: Tensor) -> Tensor:
        """[n, capacity] of rows as encoded, without a gradient; the result stays in inference mode."""
        with torch.inference_mode():
            return self.logits_of(dense, tokens)

    def logits_of(self, dense: Tensor, tokens: Tensor) -> Tensor:
        """As `logits`, where the caller has seen to it that no gradient is kept."""
        return self.head.logits(self.features(self.standardiser(dense), tokens))

    def to_tensors(self, rows: EncodedRows) -> tuple[Tensor, Tensor]:
        """`dense` and `tokens` on the network's device; on a CPU they share the rows' memory."""
        dense, tokens = torch.from_numpy(rows.dense), torch.from_numpy(rows.tokens)
        if self.device.type == "cpu":
            return dense, tokens
        # Through page-locked memory, which torch keeps for the next rows; copies from it need not be waited for.
        return (
            dense.pin_memory().to(self.device, non_blocking=True),
            tokens.pin_memory().to(self.device, non_blocking=True),
        )

    def tensors(self) -> dict[str, Tensor]:
        """Every tensor that decides an answer, by name, head rows of live classes only. Not copies."""
        return {
            **{BACKBONE + name: tensor for name, tensor in self.backbone.state_dict().items()},
            HEAD: self.head.live_rows,
            MEAN: self.standardiser.mean,
            INVERSE_DEVIATION: self.standardiser.inverse_deviation,
        }

    def load(self, arrays: Mapping[str, Array], *, num_classes: int) -> None:
        """Take the values of `tensors()` of another network of the same build; this one must have no classes yet.

        Raises:
            ValueError: a tensor is missing, not known, or of another shape or type; nothing may be used then.
        """
        expected = {name: (tuple(tensor.shape), tensor.dtype) for name, tensor in self.tensors().items()}
        expected[HEAD] = ((num_classes, self.head.width + 1), torch.float32)
        tensors = {name: host_tensor(array) for name, array in arrays.items()}
        found = {name: (tuple(tensor.shape), tensor.dtype) for name, tensor in tensors.items()}
        for name in sorted(expected.keys() | found.keys()):
            if expected.get(name) != found.get(name):
                raise ValueError(f"tensor {name!r} is {_form(found.get(name))}, not {_form(expected.get(name))}")
        backbone = {name.removeprefix(BACKBONE): tensors[name] for name in tensors if name.startswith(BACKBONE)}
        self.backbone.load_state_dict(backbone)
        self.head.extend(tensors[HEAD].to(self.device))
        self.standardiser.mean.copy_(tensors[MEAN])
        self.standardiser.inverse_deviation.copy_(tensors[INVERSE_DEVIATION])


def build_network(encoder: Encoder, backbone: BackboneConfig, *, seed: int, device: torch.device) -> Network:
    """A network without classes yet. Raises `ConfigurationError` where the backbone does not fit."""
    built = build_backbone(backbone, encoder.dense_width, seed=seed, device=device)
    return Network(
        standardiser=Standardiser(encoder.num_numbers, device),
        backbone=built,
        head=LinearHead(built.width, device),
        device=device,
    )


def _form(shape_and_type: tuple[tuple[int, ...], torch.dtype] | None) -> str:
    if shape_and_type is None:
        return "absent"
    shape, dtype = shape_and_type
    return f"{str(dtype).removeprefix('torch.')} {list(shape)}"
