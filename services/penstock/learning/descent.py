"""Gradient steps of the whole network on weighted cross-entropy."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from penstock.flow import Array
from penstock.learning.adam import DenseAdam, TableAdam
from penstock.learning.network import Network
from penstock.learning.tensors import under


@dataclass(frozen=True, kw_only=True)
class StepRows:
    """What a run of k steps learns: `dense` [k, n, D] standardised, `tokens` [k, n, T], `classes` int64 [k, n].

    `shares` [k, n] are the rows' weights, each step's summing to 1: a row of weight w counts as w rows of weight 1.
    """

    dense: Tensor
    tokens: Tensor
    classes: Tensor
    shares: Tensor


class Descent:
    """Adam on backbone and head; rows of an embedding table move only when a step touches them."""

    def __init__(self, network: Network, learning_rate: float) -> None:
        self._network = network
        sparse = {id(parameter) for parameter in network.backbone.row_sparse_parameters()}
        trained = [(name, p) for name, p in network.backbone.named_parameters() if p.requires_grad]
        dense = [(name, parameter) for name, parameter in trained if id(parameter) not in sparse]
        self._adam = DenseAdam(dense, network.head, learning_rate)
        self._tables = {name: TableAdam(p, learning_rate) for name, p in trained if id(p) in sparse}

    @torch.no_grad()
    def run(self, rows: StepRows) -> tuple[Tensor, Tensor]:
        """One step after the other.

        Returns the first step's logits [n, capacity], and the last one's loss [], both before their updates.
        """
        self._adam.follow_head()
        steps = zip(
            rows.dense.unbind(),
            rows.tokens.unbind(),
            rows.classes.unsqueeze(2).unbind(),
            rows.shares.unsqueeze(2).unbind(),
            strict=True,
        )
        first_logits = None
        for dense, tokens, classes, shares in steps:
            logits = self._step(dense, tokens, classes, shares)
            first_logits = logits if first_logits is None else first_logits
        assert first_logits is not None  # there is at least one step
        return first_logits, -torch.log_softmax(logits, dim=1).gather(1, classes).mul_(shares).sum()

    def _step(self, dense: Tensor, tokens: Tensor, classes: Tensor, shares: Tensor) -> Tensor:
        """Returns the logits before the update."""
        head, backbone = self._network.head, self._network.backbone
        features = backbone.forward_to_learn(dense, tokens)
        logits = head.logits(features)
        # The gradient of softmax and cross-entropy at once; dead rows have probability 0, so gradient 0.
        logit_gradients = torch.softmax(logits, dim=1).mul_(shares).scatter_add_(1, classes, -shares)
        backbone.backward(head.backward(features, logit_gradients))
        self._adam.step()
        for table in self._tables.values():
            table.step()
        return logits

    def state(self) -> dict[str, Tensor]:
        """The optimizer's own tensors by dotted name; some are copies, some are not."""
        state = {f"dense.{name}": tensor for name, tensor in self._adam.state().items()}
        for table, adam in self._tables.items():
            state |= {f"table.{table}.{name}": tensor for name, tensor in adam.state().items()}
        return state

    def load(self, arrays: Mapping[str, Array]) -> None:
        """Take up the values of `state()` of a descent over a network of the same build and number of classes.

        Raises:
            KeyError: a tensor is missing.
            RuntimeError: a tensor is of another shape.
        """
        self._adam.load(under("dense.", arrays))
        for table, adam in self._tables.items():
            adam.load(under(f"table.{table}.", arrays))
