"""SI: a weight matters as much as the way it went has lowered the loss.

Zenke, Poole, Ganguli, "Continual learning through synaptic intelligence" (ICML 2017), eq. 3 to 5.
"""

from collections.abc import Mapping

import torch
from torch import Tensor

from penstock.flow import Array
from penstock.learning.adam import HEAD
from penstock.learning.regularisers.anchors import Anchors
from penstock.learning.regularisers.trained import TrainedWeights, with_rows
from penstock.learning.tensors import host_tensor, under

DAMPING = 1e-3
"""ξ of eq. 5, in squared units of weight."""

_PATHS, _STARTS, _ANCHORS = "paths.", "starts.", "anchors."


class SynapticIntelligence:
    """ω = −Σ g·Δw along the path since the last consolidation; Ω grows there by ω / (Δ² + ξ), never below 0."""

    def __init__(self, strength: float, weights: TrainedWeights) -> None:
        self._strength = strength
        self._weights = weights
        self._anchors = Anchors(weights)
        self.paths: dict[str, Tensor] = {}
        """ω by name of tensor, so far."""
        self._starts: dict[str, Tensor] = {}
        self._before: list[tuple[str, Tensor, Tensor]] = []

    @property
    def importance(self) -> Mapping[str, Tensor]:
        """2Ω by name of tensor, what the anchors hold now: eq. 4 has no ½."""
        return self._anchors.importance

    def observe(self, features: Tensor, logits: Tensor, shares: Tensor) -> None:
        """Nothing: only the way counts, not the rows."""

    def before_update(self) -> None:
        """Note gradient and weights of the step to come, then pull."""
        self._begin()
        self._before = [
            (name, values.clone(), gradient.clone()) for name, values, gradient in self._weights.gradients()
        ]
        self._anchors.pull(self._strength)

    def after_update(self) -> None:
        """Add the step to the path."""
        now = dict(self._weights.values())
        for name, values, gradient in self._before:
            self.paths[name].addcmul_(gradient, now[name] - values, value=-1)
        self._before = []

    def consolidate(self) -> None:
        """What was learnt since the last time is worth keeping from here on."""
        if not self.paths:
            return
        self._begin()
        importance = {}
        for name, values in self._weights.values():
            moved = (values - self._starts[name]).square_().add_(DAMPING)
            gained = self.paths[name].clamp(min=0).mul_(2).div_(moved)
            before = self._anchors.importance.get(name)
            importance[name] = gained if before is None else gained + with_rows(before, gained)
        self._anchors.drop(importance)
        self.paths, self._starts = {}, {}
        self._begin()

    def row_was_set(self, index: int) -> None:
        """Its way begins where it is now."""
        self._anchors.row_was_set(index)
        if HEAD in self._starts and index < len(self._starts[HEAD]):
            self._starts[HEAD][index] = dict(self._weights.values())[HEAD][index]
            self.paths[HEAD][index] = 0.0

    def state(self) -> dict[str, Tensor]:
        """The tensors themselves."""
        named = ((_PATHS, self.paths), (_STARTS, self._starts), (_ANCHORS, self._anchors.state()))
        return {prefix + name: tensor for prefix, tensors in named for name, tensor in tensors.items()}

    def load(self, arrays: Mapping[str, Array]) -> None:
        """Take up the values of `state()`."""
        devices = {name: values.device for name, values in self._weights.values()}
        for prefix, into in ((_PATHS, self.paths), (_STARTS, self._starts)):
            into.clear()
            for name, array in under(prefix, arrays).items():
                into[name] = host_tensor(array).to(devices[name], copy=True)
        self._anchors.load(under(_ANCHORS, arrays))

    def _begin(self) -> None:
        """Paths and starts of tensors, and of head rows, that are new."""
        for name, values in self._weights.values():
            start = self._starts.get(name)
            if start is None:
                self._starts[name], self.paths[name] = values.clone(), torch.zeros_like(values)
            elif start.shape != values.shape:
                self._starts[name] = torch.cat((start, values[len(start) :]))
                self.paths[name] = with_rows(self.paths[name], values)
