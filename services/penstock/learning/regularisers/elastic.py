"""Online EWC: weights that the past depends on are hard to move.

Kirkpatrick et al., "Overcoming catastrophic forgetting in neural networks" (PNAS 2017), eq. 3; kept up as one anchor
whose Fisher information fades, after Schwarz et al., "Progress & compress" (ICML 2018), eq. 9.
"""

from collections.abc import Mapping

import torch
from torch import Tensor

from penstock.flow import Array
from penstock.learning.backbones import Backbone
from penstock.learning.head import LinearHead
from penstock.learning.regularisers.anchors import Anchors
from penstock.learning.regularisers.fisher import squared_gradients
from penstock.learning.regularisers.trained import TrainedWeights, with_rows
from penstock.learning.tensors import host_tensor, under

FADING = 0.95
"""What an anchor's importance counts for at the next one."""

_SINCE, _ANCHORS, _NUM_ROWS = "since.", "anchors.", "num_rows"


class ElasticConsolidation:
    """The Fisher information of fresh rows is averaged as they come, and becomes importance at each consolidation."""

    def __init__(self, strength: float, weights: TrainedWeights, backbone: Backbone, head: LinearHead) -> None:
        self._strength = strength
        self._weights, self._backbone, self._head = weights, backbone, head
        self._anchors = Anchors(weights)
        self._since: dict[str, Tensor] = {}
        self._num_rows = torch.zeros((), dtype=torch.float64)

    @property
    def importance(self) -> Mapping[str, Tensor]:
        """By name of tensor, what the anchors hold now."""
        return self._anchors.importance

    def observe(self, features: Tensor, logits: Tensor, shares: Tensor) -> None:
        """Take in the fresh rows of a pass forth: `features` [n, H], `logits` [n, capacity], `shares` [n, 1]."""
        if not len(features):
            return
        weights = shares * (len(shares) / shares.sum())
        for name, squares in squared_gradients(self._backbone, self._head, features, logits, weights).items():
            self._since[name] = squares + with_rows(self._since[name], squares) if name in self._since else squares
        self._num_rows += len(features)

    def before_update(self) -> None:
        """Pull."""
        self._anchors.pull(self._strength)

    def after_update(self) -> None:
        """Nothing: only the rows count, not the way."""

    def consolidate(self) -> None:
        """What was learnt since the last time is worth keeping from here on."""
        if not self._num_rows:
            return
        importance = {}
        for name, values in self._weights.values():
            fisher = self._since.get(name, values.new_zeros(0)) / float(self._num_rows)
            faded = self._anchors.importance.get(name, values.new_zeros(0)) * FADING
            importance[name] = _grown(fisher, values) + _grown(faded, values)
        self._anchors.drop(importance)
        self._since = {}
        self._num_rows.zero_()

    def row_was_set(self, index: int) -> None:
        """It is held where it is now."""
        self._anchors.row_was_set(index)

    def state(self) -> dict[str, Tensor]:
        """The tensors themselves."""
        since = {_SINCE + name: tensor for name, tensor in self._since.items()}
        anchors = {_ANCHORS + name: tensor for name, tensor in self._anchors.state().items()}
        return since | anchors | {_NUM_ROWS: self._num_rows}

    def load(self, arrays: Mapping[str, Array]) -> None:
        """Take up the values of `state()`."""
        device = self._head.rows.device
        self._since = {name: host_tensor(array).to(device, copy=True) for name, array in under(_SINCE, arrays).items()}
        self._anchors.load(under(_ANCHORS, arrays))
        self._num_rows.copy_(host_tensor(arrays[_NUM_ROWS]))


def _grown(tensor: Tensor, like: Tensor) -> Tensor:
    return with_rows(tensor, like) if len(tensor) else torch.zeros_like(like)
