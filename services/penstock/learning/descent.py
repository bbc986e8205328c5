"""Gradient steps of the whole network on weighted cross-entropy."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from penstock.flow import Array
from penstock.learning.adam import DenseAdam, RowAdam
from penstock.learning.network import Network


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
    """Adam on backbone and head; embedding rows move only when a step touches them."""

    def __init__(self, network: Network, learning_rate: float) -> None:
        self._network = network
        device, head, backbone = network.device, network.head, network.backbone
        sparse = {id(parameter) for parameter in backbone.row_sparse_parameters()}
        trained = [(name, p) for name, p in backbone.named_parameters() if p.requires_grad]
        self._dense = DenseAdam([(name, p) for name, p in trained if id(p) not in sparse], learning_rate)
        self._tables = {name: p for name, p in trained if id(p) in sparse}
        self._table_adams = {
            name: RowAdam(len(p), p.shape[1], learning_rate, device) for name, p in self._tables.items()
        }
        self._head = RowAdam(head.capacity, head.width + 1, learning_rate, device)

    def run(self, rows: StepRows) -> Tensor:
        """One step after the other; returns the last one's loss before its update, a scalar on the device."""
        self._head.extend_to(self._network.head.capacity)
        last = len(rows.dense) - 1
        loss = rows.dense.new_zeros(())
        for step in range(last + 1):
            loss = self._step(
                rows.dense[step],
                rows.tokens[step],
                rows.classes[step].unsqueeze(1),
                rows.shares[step].unsqueeze(1),
                wants_loss=step == last,
            )
        return loss

    def _step(self, dense: Tensor, tokens: Tensor, classes: Tensor, shares: Tensor, *, wants_loss: bool) -> Tensor:
        head = self._network.head
        features = self._network.features(dense, tokens)
        with torch.no_grad():
            logits = head.logits(features)
            # The gradient of softmax and cross-entropy at once; dead rows have probability 0, so gradient 0.
            logit_gradients = torch.softmax(logits, dim=1).mul_(shares).scatter_add_(1, classes, -shares)
            row_gradients, feature_gradients = head.gradients(features, logit_gradients)
        if features.requires_grad:
            torch.autograd.backward(features, feature_gradients)
        self._head.step(head.live_rows, row_gradients)
        self._dense.step()
        for name, table in self._tables.items():
            self._step_table(table, self._table_adams[name])
        if not wants_loss:
            return logits
        return -torch.log_softmax(logits, dim=1).gather(1, classes).mul_(shares).sum()

    @staticmethod
    def _step_table(table: torch.nn.Parameter, adam: RowAdam) -> None:
        assert table.grad is not None  # the table is read at every step
        gradient = table.grad.coalesce()
        adam.step_at(table.detach(), gradient.indices()[0], gradient.values())
        table.grad = None

    def state(self) -> dict[str, Tensor]:
        """The optimizer's own tensors by dotted name. Not copies."""
        state = {f"dense.{name}": tensor for name, tensor in self._dense.state().items()}
        state |= {f"head.{name}": tensor for name, tensor in self._head.state().items()}
        for table, adam in self._table_adams.items():
            state |= {f"table.{table}.{name}": tensor for name, tensor in adam.state().items()}
        return state

    def load(self, arrays: Mapping[str, Array]) -> None:
        """Take up the values of `state()` of a descent over a network of the same build and number of classes.

        Raises:
            KeyError: a tensor is missing.
            RuntimeError: a tensor is of another shape.
        """
        self._head.extend_to(self._network.head.capacity)
        for name, tensor in self.state().items():
            tensor.copy_(torch.from_numpy(arrays[name]))
