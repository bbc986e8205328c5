"""Adam's moments of the head's rows, which are born at different times."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from penstock.flow import Array
from penstock.learning.betas import SETTLED_STEPS
from penstock.learning.head import LinearHead
from penstock.learning.tensors import host_tensor


class Blocks(NamedTuple):
    """A view for each block: its rows, their gradients and both moments, [rows, H + 1] each."""

    rows: Sequence[Tensor] = ()
    gradients: Sequence[Tensor] = ()
    first: Sequence[Tensor] = ()
    second: Sequence[Tensor] = ()


class HeadMoments:
    """Moments of the head's live rows in blocks; a block's rows were born together and count their steps together.

    `moments` are both of all rows, [k, H + 1] each, `steps` the number of steps [] of each block in the order of rows.
    """

    def __init__(self, head: LinearHead) -> None:
        self._head = head
        nothing = head.rows.new_zeros(0, head.width + 1)
        self.moments = (nothing, nothing)
        self.steps: list[Tensor] = []
        self._sizes: list[int] = []

    @property
    def all_rows(self) -> tuple[Tensor, Tensor]:
        """The rows followed so far and their gradients, [k, H + 1] each."""
        num_rows = len(self.moments[0])
        return self._head.rows[:num_rows], self._head.row_gradients[:num_rows]

    def follow(self) -> bool:
        """Make a block of the rows born since the last call; returns whether there are any."""
        num_new = self._head.num_live - len(self.moments[0])
        if not num_new:
            return False
        nothing = self._head.rows.new_zeros(num_new, self._head.width + 1)
        self.moments = (torch.cat((self.moments[0], nothing)), torch.cat((self.moments[1], nothing)))
        self.steps.append(nothing.new_zeros(()))
        self._sizes.append(num_new)
        self._merge_alike()
        return True

    def views(self) -> "Blocks":
        """Of the blocks as they are."""
        return Blocks(*(list(torch.split(tensor, self._sizes)) if self._sizes else [] for tensor in self._tensors))

    @property
    def block_of_row(self) -> Tensor:
        """The place of each row's block, int64 [k]."""
        sizes = torch.tensor(self._sizes, dtype=torch.int64)
        return torch.arange(len(sizes)).repeat_interleave(sizes).to(self._head.rows.device)

    def stacked_steps(self) -> Tensor:
        """[blocks]: from now on `steps` are views of it."""
        together = torch.stack(self.steps)
        self.steps = list(together.unbind())
        return together

    def row(self, index: int) -> tuple[Tensor, Tensor]:
        """Both moments of a row, [H + 1], not copies; zeros for one that has made no step yet."""
        first, second = self.moments
        if index < len(first):
            return first[index], second[index]
        nothing = self._head.rows.new_zeros(self._head.width + 1)
        return nothing, nothing.clone()

    def state(self) -> dict[str, Tensor]:
        """Of the k rows followed so far: both moments [k, H + 1], steps [k]."""
        first, second = self.moments
        steps = torch.stack(self.steps)[self.block_of_row] if self.steps else first[:, 0]
        return {"first": first, "second": second, "steps": steps}

    def load(self, first: Array, second: Array, steps: Array) -> None:
        """Take up the values of `state()`; neighbours with as many steps are one block again."""
        starts = [0, *(np.flatnonzero(np.diff(steps)) + 1).tolist()] if len(steps) else []
        device = self._head.rows.device
        self.moments = (host_tensor(first).to(device, copy=True), host_tensor(second).to(device, copy=True))
        self._sizes = [stop - start for start, stop in zip(starts, [*starts[1:], len(steps)], strict=False)]
        self.steps = [torch.full((), float(steps[start]), device=device) for start in starts]

    @property
    def _tensors(self) -> tuple[Tensor, ...]:
        return (*self.all_rows, *self.moments)

    def _merge_alike(self) -> None:
        """Join neighbours with as many steps, or whose corrections have reached 1: old classes are one block."""
        counts = torch.stack(self.steps).clamp(max=SETTLED_STEPS).tolist()
        for place in reversed(range(len(counts) - 1)):
            if counts[place] == counts[place + 1]:
                self._sizes[place] += self._sizes.pop(place + 1)
                del self.steps[place + 1]
