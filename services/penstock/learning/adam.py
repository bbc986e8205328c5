"""Adam (Kingma, Ba, ICLR 2015) for parameters that are there from the start, and for rows that come later.

With one step count for a whole matrix, a row added at step t is corrected as if its moments were t steps old: its
first update is 3.15 times the learning rate and its twelfth 6.57. So rows count their own steps.
"""

import math
from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.optim.adam import adam

BETA1, BETA2, EPSILON = 0.9, 0.999, 1e-8


class DenseAdam:
    """Adam for named parameters with dense gradients; a parameter without a gradient keeps still."""

    def __init__(self, parameters: Iterable[tuple[str, nn.Parameter]], learning_rate: float) -> None:
        self._learning_rate = learning_rate
        self._parameters = dict(parameters)
        self._first = {name: torch.zeros_like(parameter) for name, parameter in self._parameters.items()}
        self._second = {name: torch.zeros_like(parameter) for name, parameter in self._parameters.items()}
        self._steps = {name: torch.zeros((), device=p.device) for name, p in self._parameters.items()}

    @torch.no_grad()
    def step(self) -> None:
        """One update from `.grad`, which is then gone."""
        names = [name for name, parameter in self._parameters.items() if parameter.grad is not None]
        if not names:
            return
        gradients = [_dense(self._parameters[name].grad) for name in names]
        adam(
            [self._parameters[name] for name in names],
            gradients,
            [self._first[name] for name in names],
            [self._second[name] for name in names],
            [],
            [self._steps[name] for name in names],
            fused=True,
            amsgrad=False,
            beta1=BETA1,
            beta2=BETA2,
            lr=self._learning_rate,
            weight_decay=0.0,
            eps=EPSILON,
            maximize=False,
        )
        for name in names:
            self._parameters[name].grad = None

    def state(self) -> dict[str, Tensor]:
        """The tensors themselves, by name."""
        state = {f"{name}.first": tensor for name, tensor in self._first.items()}
        state |= {f"{name}.second": tensor for name, tensor in self._second.items()}
        return state | {f"{name}.steps": tensor for name, tensor in self._steps.items()}


class RowAdam:
    """Adam for the rows of a matrix, each with its own count of steps.

    It keeps the bias-corrected moments: with a_t = (1 − β)/(1 − β^t), m̂_t = m̂_{t−1} + a_t·(g − m̂_{t−1}), which is
    Adam's m_t/(1 − β1^t), and the same with β2 and g². Rows that no step touches do not move.
    """

    def __init__(self, num_rows: int, width: int, learning_rate: float, device: torch.device) -> None:
        self._learning_rate = learning_rate
        self._rates = _rates().to(device)
        self.first = torch.zeros(num_rows, width, device=device)
        self.second = torch.zeros(num_rows, width, device=device)
        self.steps = torch.zeros(num_rows, dtype=torch.int64, device=device)

    def state(self) -> dict[str, Tensor]:
        """The tensors themselves."""
        return {"first": self.first, "second": self.second, "steps": self.steps}

    def extend_to(self, num_rows: int) -> None:
        """Room for rows that have made no step yet."""
        missing = num_rows - len(self.steps)
        if missing > 0:
            room = self.first.new_zeros(missing, self.first.shape[1])
            self.first = torch.cat((self.first, room))
            self.second = torch.cat((self.second, room))
            self.steps = torch.cat((self.steps, self.steps.new_zeros(missing)))

    @torch.no_grad()
    def step(self, rows: Tensor, gradients: Tensor) -> None:
        """Update the first k of `rows` in place by `gradients` [k, width]."""
        count = len(gradients)
        first, second, steps = self.first[:count], self.second[:count], self.steps[:count]
        _advance(rows[:count], first, second, steps, gradients, self._rates, self._learning_rate)

    @torch.no_grad()
    def step_at(self, rows: Tensor, indices: Tensor, gradients: Tensor) -> None:
        """Update `rows[indices]` in place by `gradients` [k, width]; no index stands twice."""
        values, first, second = rows[indices], self.first[indices], self.second[indices]
        steps = self.steps[indices]
        _advance(values, first, second, steps, gradients, self._rates, self._learning_rate)
        rows[indices], self.first[indices], self.second[indices] = values, first, second
        self.steps[indices] = steps


def _advance(
    rows: Tensor, first: Tensor, second: Tensor, steps: Tensor, gradients: Tensor, rates: Tensor, learning_rate: float
) -> None:
    """All in place."""
    steps.add_(1)
    rate = rates[steps.clamp(max=len(rates) - 1)]
    first.lerp_(gradients, rate[:, :1])
    second.lerp_(gradients.square(), rate[:, 1:])
    rows.addcdiv_(first, second.sqrt().add_(EPSILON), value=-learning_rate)


def _rates() -> Tensor:
    """a_t of both moments by t, float32 [T, 2]; from the last row on they no longer change in float32."""
    longest = math.ceil(math.log(2.0**-26) / math.log(BETA2))
    steps = torch.arange(1, longest + 1, dtype=torch.float64)
    rates = torch.stack([(1 - beta) / (1 - beta**steps) for beta in (BETA1, BETA2)], dim=1)
    return torch.cat((rates[:1], rates)).float()  # row 0 stands for no step and is never read


def _dense(gradient: Tensor | None) -> Tensor:
    assert gradient is not None  # the caller left out parameters without one
    return gradient.to_dense() if gradient.is_sparse else gradient
