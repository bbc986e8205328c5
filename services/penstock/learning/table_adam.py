"""Adam for a table of which a step touches few rows, such as that of word embeddings: each counts its own steps."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from penstock.flow import Array
from penstock.learning.betas import BETA1, BETA2, EPSILON, SETTLED_STEPS
from penstock.learning.tensors import host_tensor


class TableAdam:
    """Adam for a table of which a step touches few rows; the others do not move, nor do their moments fade.

    It keeps the bias-corrected moments: with a_t = (1 − β)/(1 − β^t), m̂_t = m̂_{t−1} + a_t·(g − m̂_{t−1}), which is
    Adam's m_t/(1 − β1^t), and the same with β2 and g².
    """

    def __init__(self, table: nn.Parameter, learning_rate: float) -> None:
        self._table = table
        self._learning_rate = learning_rate
        self._rates = _rates().to(table.device)
        self._first = torch.zeros_like(table, requires_grad=False)
        self._second = torch.zeros_like(table, requires_grad=False)
        self._steps = torch.zeros(len(table), dtype=torch.int64, device=table.device)

    def step(self) -> None:
        """Update the rows that stand in the table's sparse `.grad`. Gradient recording must be off."""
        assert self._table.grad is not None  # the table is read at every step
        gradient = self._table.grad.coalesce()
        touched, gradients = gradient.indices()[0], gradient.values()
        steps = self._steps[touched] + 1
        first_rates, second_rates = self._rates[:, steps.clamp(max=SETTLED_STEPS)].unsqueeze(2)
        first = self._first[touched].lerp_(gradients, first_rates)
        second = self._second[touched].lerp_(gradients.square(), second_rates)
        rows = self._table[touched].addcdiv_(first, second.sqrt().add_(EPSILON), value=-self._learning_rate)
        self._table[touched], self._first[touched], self._second[touched] = rows, first, second
        self._steps[touched] = steps

    def state(self) -> dict[str, Tensor]:
        """The tensors themselves."""
        return {"first": self._first, "second": self._second, "steps": self._steps}

    def load(self, arrays: Mapping[str, Array]) -> None:
        """Take up the values of `state()`."""
        for name, tensor in self.state().items():
            tensor.copy_(host_tensor(arrays[name]))


def _rates() -> Tensor:
    """a_t of both moments by t, float32 [2, `SETTLED_STEPS` + 1]."""
    steps = torch.arange(SETTLED_STEPS + 1, dtype=torch.float64).clamp_(min=1)  # no row makes step 0
    return torch.stack([(1 - beta) / (1 - beta**steps) for beta in (BETA1, BETA2)]).float()
