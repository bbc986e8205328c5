"""Encoder aside, everything between encoded rows and class probabilities; trainer and replica share it."""

import copy
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from penstock.flow import Array
from penstock.learning.backbones import Backbone, build_backbone
from penstock.learning.config import BackboneConfig
from penstock.learning.encoder import Encoder
from penstock.learning.head import LinearHead
from penstock.learning.rows import EncodedRows
from penstock.learning.standardiser import Standardiser
from penstock.make_way import MakeWay, go_on

BACKBONE = "backbone."
HEAD = "head.rows"
MEAN = "standardiser.mean"
INVERSE_DEVIATION = "standardiser.inverse_deviation"


class TensorSource(Protocol):
    """Named tensors that are read one by one."""

    def __iter__(self) -> Iterator[str]: ...

    def form(self, name: str) -> tuple[tuple[int, ...], np.dtype[Any]]:
        """Shape and type."""
        ...

    def read_into(self, name: str, array: Array) -> None:
        """Fill a contiguous array of that form."""
        ...

    def lying(self, name: str) -> Array | None:
        """The tensor in memory of its own that the network may keep; None where it must be read."""
        ...


class HostArrays:
    """`TensorSource` of arrays in memory."""

    def __init__(self, arrays: Mapping[str, Array]) -> None:
        self._arrays = arrays

    def __iter__(self) -> Iterator[str]:
        return iter(self._arrays)

    def form(self, name: str) -> tuple[tuple[int, ...], np.dtype[Any]]:
        """As `TensorSource.form`."""
        return self._arrays[name].shape, self._arrays[name].dtype

    def read_into(self, name: str, array: Array) -> None:
        """As `TensorSource.read_into`."""
        np.copyto(array, self._arrays[name])

    def lying(self, name: str) -> Array | None:
        """As `TensorSource.lying`: none."""
        return None


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
        """As `read`, from arrays in memory."""
        self.read(HostArrays(arrays), num_classes=num_classes)

    def read(self, source: TensorSource, *, num_classes: int) -> None:
        """Take the values of `tensors()` of another network of the same build; this one must have no classes yet.

        Each is read straight into its place, or taken from where it lies, so nothing is in memory twice.

        Raises:
            ValueError: a tensor is missing, not known, or of another shape or type; nothing may be used then.
        """
        self._check_forms(source, num_classes)
        for name, tensor in self._own().items():
            _read(source, name, tensor)
        self._read_head(source, num_classes)

    def _own(self) -> dict[str, Tensor]:
        """As `tensors()`, without the head: the tensors themselves, whose memory may be exchanged."""
        return {
            **{BACKBONE + name: tensor for name, tensor in self.backbone.state_dict(keep_vars=True).items()},
            MEAN: self.standardiser.mean,
            INVERSE_DEVIATION: self.standardiser.inverse_deviation,
        }

    def derived(self, source: TensorSource, *, num_classes: int, unchanged: frozenset[str]) -> "Network":
        """A network with the values of `source` that shares the memory of the backbone's `unchanged` tensors with this.

        Raises:
            ValueError: as `read`.
            Exception: whatever the operator's module raises when it is copied.
        """
        kept = {name.removeprefix(BACKBONE) for name in unchanged}
        named = [
            *self.backbone.named_parameters(remove_duplicate=False),
            *self.backbone.named_buffers(remove_duplicate=False),
        ]
        backbone = copy.deepcopy(self.backbone, {id(tensor): tensor for name, tensor in named if name in kept})
        network = Network(
            standardiser=Standardiser(self.standardiser.width, self.device),
            backbone=backbone,
            head=LinearHead(self.head.width, self.device),
            device=self.device,
        )
        network._check_forms(source, num_classes)
        for name, tensor in network._own().items():
            if not (name.startswith(BACKBONE) and name in unchanged):
                _read(source, name, tensor)
        network._read_head(source, num_classes)
        return network

    def _check_forms(self, source: TensorSource, num_classes: int) -> None:
        expected = {name: (tuple(tensor.shape), tensor.dtype) for name, tensor in self.tensors().items()}
        expected[HEAD] = ((num_classes, self.head.width + 1), torch.float32)
        found = {name: (shape, torch.from_numpy(np.empty(0, dtype)).dtype) for name, (shape, dtype) in _forms(source)}
        for name in sorted(expected.keys() | found.keys()):
            if expected.get(name) != found.get(name):
                raise ValueError(f"tensor {name!r} is {_form(found.get(name))}, not {_form(expected.get(name))}")

    def _read_head(self, source: TensorSource, num_classes: int) -> None:
        rows = torch.empty(num_classes, self.head.width + 1)
        _read(source, HEAD, rows)
        self.head.extend(rows.to(self.device))


def _forms(source: TensorSource) -> list[tuple[str, tuple[tuple[int, ...], np.dtype[Any]]]]:
    return [(name, source.form(name)) for name in source]


def _read(source: TensorSource, name: str, tensor: Tensor) -> None:
    """Into the tensor's own memory where it lies on the host and in one piece."""
    if tensor.device.type == "cpu" and (array := source.lying(name)) is not None:
        tensor.data = torch.from_numpy(array)
        return
    tensor = tensor.detach()
    if tensor.device.type == "cpu" and tensor.is_contiguous():
        source.read_into(name, tensor.numpy())
        return
    read = torch.empty(tensor.shape, dtype=tensor.dtype)
    source.read_into(name, read.numpy())
    tensor.copy_(read)


def build_network(
    encoder: Encoder,
    backbone: BackboneConfig,
    *,
    seed: int | None,
    device: torch.device,
    make_way: MakeWay = go_on,
) -> Network:
    """A network without classes yet; `seed` as of `build_backbone`, which says what it raises.

    `make_way` is called between its parts.
    """
    built = build_backbone(backbone, encoder.dense_width, seed=seed, device=device)
    make_way()
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
