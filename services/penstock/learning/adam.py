"""Adam (Kingma, Ba, ICLR 2015) where rows of a matrix may be born late.

With one count of steps for a whole matrix, a row born at step t is corrected as if its moments were t steps old: its
first update is 3.15 times the learning rate and its twelfth 6.57. So the head's rows count their own steps, in blocks
that were born together.
"""

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from penstock.flow import Array
from penstock.learning.head import LinearHead
from penstock.learning.tensors import host_tensor

BETA1, BETA2, EPSILON = 0.9, 0.999, 1e-8

HEAD = "head.rows"
"""The head's live rows among the names of the parameters."""

SETTLED_STEPS = math.ceil(math.log(2.0**-26) / math.log(BETA2))
"""From so many steps on, 1 − β^t is 1 in float32 for both β."""


class DenseAdam:
    """Adam for named parameters and for the head's live rows, in one fused call a step for each learning rate."""

    def __init__(self, parameters: Iterable[tuple[str, nn.Parameter]], head: LinearHead, learning_rate: float) -> None:
        self._parameters = dict(parameters)
        self._first = {name: torch.zeros_like(parameter) for name, parameter in self._parameters.items()}
        self._second = {name: torch.zeros_like(parameter) for name, parameter in self._parameters.items()}
        self._steps = {name: torch.zeros((), device=p.device) for name, p in self._parameters.items()}
        self._head = HeadMoments(head)
        self._names_by_rate: Mapping[float, tuple[str, ...]] = {learning_rate: (*self._parameters, HEAD)}
        self._groups: tuple[_Group, ...] = ()
        self._group_again = True

    def use_rates(self, rates: Mapping[str, float]) -> None:
        """Learn each parameter, and the head as `HEAD`, at a rate of its own; what is not named keeps still."""
        self._names_by_rate = {
            rate: tuple(name for name in (*self._parameters, HEAD) if rates.get(name) == rate)
            for rate in dict.fromkeys(rates.values())
        }
        self._group_again = True

    def follow_head(self) -> None:
        """Begin with head rows that were born since; needed before the next step."""
        if self._head.follow():
            self._group_again = True

    def step(self) -> None:
        """One update from each parameter's `.grad` and from the head's `row_gradients`.

        A parameter without a gradient keeps still. Gradient recording must be off.
        """
        if self._group_again:
            self._groups, self._group_again = tuple(self._grouped()), False
        for group in self._groups:
            group.step()

    def _grouped(self) -> Iterator["_Group"]:
        for rate, names in self._names_by_rate.items():
            own = [name for name in names if name != HEAD]
            head = self._head if HEAD in names else None
            counts = [self._steps[name] for name in own] + (head.steps if head else [])
            if not counts:
                continue
            together = torch.stack(counts)
            steps = list(together.unbind())
            self._steps.update(zip(own, steps, strict=False))
            if head:
                head.steps = steps[len(own) :]
            yield _Group(
                rate=rate,
                parameters=[self._parameters[name] for name in own],
                head_rows=head.rows if head else [],
                head_gradients=head.gradients if head else [],
                first=[self._first[name] for name in own] + (head.first if head else []),
                second=[self._second[name] for name in own] + (head.second if head else []),
                steps=steps,
                all_steps=together,
            )

    def head_moments(self, index: int) -> tuple[Tensor, Tensor]:
        """Both moments of a row of the head, to be read or overwritten."""
        return self._head.row(index)

    def state(self) -> dict[str, Tensor]:
        """Copies and the tensors themselves, by dotted name; nothing of what has never moved, as a frozen backbone."""
        moved = [name for name, steps in self._steps.items() if steps]
        state = {f"first.{name}": self._first[name] for name in moved}
        state |= {f"second.{name}": self._second[name] for name in moved}
        state |= {f"steps.{name}": self._steps[name] for name in moved}
        return state | {f"head.{name}": tensor for name, tensor in self._head.state().items()}

    def load(self, arrays: Mapping[str, Array]) -> None:
        """Take up the values of `state()`, for a head of as many classes; those not followed yet begin."""
        for kind, tensors in (("first", self._first), ("second", self._second), ("steps", self._steps)):
            for name, tensor in tensors.items():
                stored = arrays.get(f"{kind}.{name}")
                if stored is None:
                    tensor.zero_()
                else:
                    tensor.copy_(host_tensor(stored))
        self._head.load(arrays["head.first"], arrays["head.second"], arrays["head.steps"])
        self._group_again = True


@dataclass(frozen=True, kw_only=True)
class _Group:
    """What moves at one rate: `parameters`, then blocks of the head's rows; the other lists go along with both.

    `steps` are views of `all_steps`, which are counted in one operation however many blocks there are.
    """

    rate: float
    parameters: list[nn.Parameter]
    head_rows: list[Tensor]
    head_gradients: list[Tensor]
    first: list[Tensor]
    second: list[Tensor]
    steps: list[Tensor]
    all_steps: Tensor

    def step(self) -> None:
        rows: list[Tensor] = [*self.parameters, *self.head_rows]
        found = [*(parameter.grad for parameter in self.parameters), *self.head_gradients]
        gradients = [gradient for gradient in found if gradient is not None]
        if len(gradients) == len(rows):
            self.all_steps.add_(1)
            _fused(self.rate, rows, gradients, self.first, self.second, self.steps)
        elif gradients:
            moving = [place for place, gradient in enumerate(found) if gradient is not None]
            rows, first, second, steps = (
                [each[place] for place in moving] for each in (rows, self.first, self.second, self.steps)
            )
            torch._foreach_add_(steps, 1)
            _fused(self.rate, rows, gradients, first, second, steps)


def _fused(
    rate: float,
    rows: list[Tensor],
    gradients: list[Tensor],
    first: list[Tensor],
    second: list[Tensor],
    steps: list[Tensor],
) -> None:
    """What torch.optim.Adam(fused=True) calls in the end; its own bookkeeping costs more than this arithmetic."""
    torch._fused_adam_(
        rows,
        gradients,
        first,
        second,
        [],
        steps,
        lr=rate,
        beta1=BETA1,
        beta2=BETA2,
        weight_decay=0.0,
        eps=EPSILON,
        amsgrad=False,
        maximize=False,
    )


class HeadMoments:
    """Moments of the head's live rows in blocks; a block's rows were born together and count their steps together.

    The lists hold one tensor per block, in the order of the rows: the rows and their gradients as views, both moments
    [k, H + 1], and the number of steps [].
    """

    def __init__(self, head: LinearHead) -> None:
        self._head = head
        self._num_seen = 0
        self.first: list[Tensor] = []
        self.second: list[Tensor] = []
        self.steps: list[Tensor] = []
        self.rows: list[Tensor] = []
        self.gradients: list[Tensor] = []

    def follow(self) -> bool:
        """Make a block of the rows born since the last call; returns whether there are any."""
        head = self._head
        if head.num_live == self._num_seen:
            return False
        self._merge_settled()
        self._append(head.rows.new_zeros(head.num_live - self._num_seen, head.width + 1))
        self._view()
        return True

    def _view(self) -> None:
        head = self._head
        sizes = [len(first) for first in self.first]
        self.rows = list(torch.split(head.rows[: self._num_seen], sizes)) if sizes else []
        self.gradients = list(torch.split(head.row_gradients[: self._num_seen], sizes)) if sizes else []

    def row(self, index: int) -> tuple[Tensor, Tensor]:
        """Both moments of a row, [H + 1], not copies; zeros for one that has made no step yet."""
        for first, second in zip(self.first, self.second, strict=True):
            if index < len(first):
                return first[index], second[index]
            index -= len(first)
        nothing = self._head.rows.new_zeros(self._head.width + 1)
        return nothing, nothing.clone()

    def state(self) -> dict[str, Tensor]:
        """Of the k rows followed so far: both moments [k, H + 1], steps [k]."""
        if not self.first:
            nothing = self._head.rows[:0]
            return {"first": nothing, "second": nothing, "steps": nothing[:, 0]}
        steps = [steps.expand(len(first)) for steps, first in zip(self.steps, self.first, strict=True)]
        return {"first": torch.cat(self.first), "second": torch.cat(self.second), "steps": torch.cat(steps)}

    def load(self, first: Array, second: Array, steps: Array) -> None:
        """Take up the values of `state()`; neighbours with as many steps are one block again."""
        self.first, self.second, self.steps, self._num_seen = [], [], [], 0
        starts = [0, *(np.flatnonzero(np.diff(steps)) + 1).tolist()] if len(steps) else []
        device = self._head.rows.device
        for start, stop in zip(starts, [*starts[1:], len(steps)], strict=False):
            self._append(host_tensor(first[start:stop]).to(device, copy=True))
            self.second[-1].copy_(host_tensor(second[start:stop]))
            self.steps[-1].fill_(float(steps[start]))
        self._view()

    def _append(self, first: Tensor) -> None:
        self.first.append(first)
        self.second.append(torch.zeros_like(first))
        self.steps.append(torch.zeros((), device=first.device))
        self._num_seen += len(first)

    def _merge_settled(self) -> None:
        """Join neighbouring blocks whose corrections have reached 1, so that old classes cost one block together."""
        settled = [bool(steps >= SETTLED_STEPS) for steps in self.steps]
        for place in reversed(range(len(settled) - 1)):
            if settled[place] and settled[place + 1]:
                for tensors in (self.first, self.second):
                    tensors[place : place + 2] = [torch.cat(tensors[place : place + 2])]
                del self.steps[place + 1]
