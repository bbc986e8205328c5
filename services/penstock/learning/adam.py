"""Adam (Kingma, Ba, ICLR 2015) where rows of a matrix may be born late.

With one count of steps for a whole matrix, a row born at step t is corrected as if its moments were t steps old: its
first update is 3.15 times the learning rate and its twelfth 6.57. So the head's rows count their own steps, in blocks
that were born together.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor, nn

from penstock.flow import Array
from penstock.learning.betas import BETA1, BETA2, EPSILON, SETTLED_STEPS
from penstock.learning.head import LinearHead
from penstock.learning.head_moments import Blocks, HeadMoments
from penstock.learning.tensors import host_tensor

HEAD = "head.rows"
"""The head's live rows among the names of the parameters."""

MOST_BLOCKS = 48
"""Of the head's rows in a fused call, which takes as long for a block of one row as for a matrix; with more of them all
rows move in one go, each corrected by its own count."""


class DenseAdam:
    """Adam for named parameters and for the head's live rows, in one fused call a step for each learning rate."""

    def __init__(self, parameters: Iterable[tuple[str, nn.Parameter]], head: LinearHead, learning_rate: float) -> None:
        self._parameters = dict(parameters)
        self._first = {name: torch.zeros_like(parameter) for name, parameter in self._parameters.items()}
        self._second = {name: torch.zeros_like(parameter) for name, parameter in self._parameters.items()}
        self._steps = {name: torch.zeros((), device=p.device) for name, p in self._parameters.items()}
        self._head = HeadMoments(head)
        self._names_by_rate: Mapping[float, tuple[str, ...]] = {learning_rate: (*self._parameters, HEAD)}
        self._groups: tuple[_Group | _ManyBlocks, ...] = ()
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

    def _grouped(self) -> Iterator["_Group | _ManyBlocks"]:
        for rate, names in self._names_by_rate.items():
            own = [name for name in names if name != HEAD]
            head = self._head if HEAD in names else None
            if head and len(head.steps) > MOST_BLOCKS:
                yield _ManyBlocks(rate, head)
                head = None
            counts = [self._steps[name] for name in own] + (head.steps if head else [])
            if not counts:
                continue
            together = torch.stack(counts)
            steps = list(together.unbind())
            self._steps.update(zip(own, steps, strict=False))
            if head:
                head.steps = steps[len(own) :]
            blocks = head.views() if head else Blocks()
            yield _Group(
                rate=rate,
                parameters=[self._parameters[name] for name in own],
                head_rows=blocks.rows,
                head_gradients=blocks.gradients,
                first=[*(self._first[name] for name in own), *blocks.first],
                second=[*(self._second[name] for name in own), *blocks.second],
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
    head_rows: Sequence[Tensor]
    head_gradients: Sequence[Tensor]
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


class _ManyBlocks:
    """The head's rows at one rate, where very many blocks of them were born apart.

    With c = √(1 − β2^t) a row moves by rate·c/(1 − β1^t) · m/(√v + εc), which is Adam's step times c/c.
    """

    def __init__(self, rate: float, head: "HeadMoments") -> None:
        self._rate, self._head = rate, head
        self._steps = head.stacked_steps()
        self._ages = self._steps.clamp(max=SETTLED_STEPS).long().index_select(0, head.block_of_row)
        """[k]: steps of each row, no more than make a difference."""
        self._corrections = _corrections().to(self._steps.device)

    def step(self) -> None:
        rows, gradients = self._head.all_rows
        first, second = self._head.moments
        self._steps.add_(1)
        self._ages.add_(1).clamp_(max=SETTLED_STEPS)
        factors, epsilons = self._corrections.index_select(1, self._ages).unsqueeze(2)
        first.lerp_(gradients, 1 - BETA1)
        second.mul_(BETA2).addcmul_(gradients, gradients, value=1 - BETA2)
        rows.addcdiv_(first * factors, second.sqrt().add_(epsilons), value=-self._rate)


@lru_cache(maxsize=1)
def _corrections() -> Tensor:
    """c/(1 − β1^t) and εc by t, float32 [2, `SETTLED_STEPS` + 1]. Not to be written to."""
    steps = torch.arange(SETTLED_STEPS + 1, dtype=torch.float64).clamp_(min=1)  # no row makes step 0
    roots = (1 - BETA2**steps).sqrt()
    return torch.stack((roots / (1 - BETA1**steps), EPSILON * roots)).float()


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
