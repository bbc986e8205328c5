"""An average of the weights over the last steps, served in their place.

Polyak averaging with an exponential window; the warm-up keeps the first steps from being mostly initial weights (the
rule of `tf.train.ExponentialMovingAverage` with `num_updates`).
"""

import copy
from collections.abc import Mapping

import torch
from torch import Tensor

from penstock.flow import Array
from penstock.learning.backbones import Backbone
from penstock.learning.head import LinearHead
from penstock.learning.tensors import host_tensor, under

_BACKBONE, _HEAD, _STEPS, _HEAD_STEPS = "backbone.", "head", "steps", "head_steps"


class AveragedWeights:
    """a ← d_t·a + (1 − d_t)·w after step t = 0, 1, …, with d_t = min(d, (1 + t)/(10 + t)).

    Head rows count their own steps, so that a class born late is not mostly its imprint for 1/(1 − d) steps.
    `backbone` and `head` are those to ask; what is no parameter (running statistics) is as the trained one's.
    """

    def __init__(self, decay: float, backbone: Backbone, head: LinearHead) -> None:
        self._decay = decay
        self._trained, self._trained_head = backbone, head
        self.backbone = copy.deepcopy(backbone).requires_grad_(False).eval()
        self.head = LinearHead(head.width, head.rows.device)
        self._averages: list[Tensor] = [parameter.detach() for parameter in self.backbone.parameters()]
        self._values = [parameter.detach() for parameter in backbone.parameters()]
        self._num_steps = torch.zeros((), dtype=torch.float64)
        self._row_steps = torch.zeros(0, device=head.rows.device)
        self.grow()

    def grow(self) -> None:
        """Begin with head rows born since, as they stand."""
        born = self._trained_head.live_rows[self.head.num_live :]
        if len(born):
            self.head.extend(born)
            self._row_steps = torch.cat((self._row_steps, self._row_steps.new_zeros(len(born))))

    def follow(self) -> None:
        """After a step; gradient recording must be off."""
        kept = self._kept(float(self._num_steps))
        if self._averages:
            torch._foreach_lerp_(self._averages, self._values, 1 - kept)
        self._num_steps += 1
        rows = (1 - self._row_decays()).unsqueeze(1)
        self.head.live_rows.lerp_(self._trained_head.live_rows, rows.expand_as(self.head.live_rows))
        self._row_steps += 1

    def catch_up(self) -> None:
        """Before the averaged model is asked or captured: head rows born since, and what is no parameter."""
        self.grow()
        for ours, theirs in zip(self.backbone.buffers(), self._trained.buffers(), strict=True):
            ours.copy_(theirs)

    def row_was_set(self, index: int) -> None:
        """A row of the trained head begins anew: so does its average."""
        self.grow()
        self.head.wake(index, self._trained_head.rows[index])
        self._row_steps[index] = 0.0

    def state(self) -> dict[str, Tensor]:
        """The tensors themselves."""
        backbone = {_BACKBONE + name: tensor for name, tensor in self.backbone.state_dict().items()}
        counts = {_STEPS: self._num_steps, _HEAD_STEPS: self._row_steps}
        return backbone | counts | {_HEAD: self.head.live_rows}

    def load(self, arrays: Mapping[str, Array] | None) -> None:
        """Take up the values of `state()`, for a head of as many classes; None: begin at the weights as they stand."""
        device = self.head.rows.device
        self.head = LinearHead(self.head.width, device)
        self._row_steps = self._row_steps.new_zeros(0)
        self._num_steps.zero_()
        if arrays is None:
            self.backbone.load_state_dict(self._trained.state_dict())
            self.grow()
            return
        state = {name: host_tensor(array.copy()) for name, array in under(_BACKBONE, arrays).items()}
        self.backbone.load_state_dict(state)
        self.head.extend(host_tensor(arrays[_HEAD]).to(device))
        self._row_steps = host_tensor(arrays[_HEAD_STEPS]).to(device, copy=True)
        self._num_steps.copy_(host_tensor(arrays[_STEPS]))

    def _kept(self, step: float) -> float:
        return min(self._decay, (1 + step) / (10 + step))

    def _row_decays(self) -> Tensor:
        return ((1 + self._row_steps) / (10 + self._row_steps)).clamp_(max=self._decay)
