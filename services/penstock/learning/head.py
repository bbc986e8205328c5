"""The output layer: one row of weights and bias per class, with room for more."""

import torch
from torch import Tensor

MINIMUM_CAPACITY = 16
ASLEEP = -1e9
"""The bias of a class that is asleep: finite, its square too, and low enough for a probability of exactly 0."""
SURELY_ASLEEP = ASLEEP / 1000
"""No class that is awake has such a bias, nor such a logit."""


def capacity_for(num_classes: int) -> int:
    """The power of two that holds so many rows, at least `MINIMUM_CAPACITY`."""
    return max(MINIMUM_CAPACITY, 1 << max(0, num_classes - 1).bit_length())


class LinearHead:
    """`rows` float32 [capacity, H + 1], the bias last; the first `num_live` rows are classes, awake or asleep.

    A row past them has weight 0 and bias −∞, so its logit is −∞, its probability 0 and its gradient exactly 0.
    Capacities are powers of two of at least 16: matrix products then sum each column as before a growth, and the
    logits of old classes stay the same to the bit.
    """

    def __init__(self, width: int, device: torch.device) -> None:
        self.width = width
        self.num_live = 0
        self._asleep: set[int] = set()
        self.awake: slice | Tensor = slice(None)
        """Picks the rows that answer out of the live ones: all of them, or the indices of some."""
        self._take(_dead_rows(MINIMUM_CAPACITY, width, device))

    @property
    def capacity(self) -> int:
        return len(self.rows)

    @property
    def live_rows(self) -> Tensor:
        """[num_live, H + 1], a view."""
        return self.rows[: self.num_live]

    def logits(self, features: Tensor) -> Tensor:
        """[n, capacity] for `features` [n, H]; −∞ past the live classes."""
        return torch.addmm(self._biases, features, self._weights.t())

    def backward(self, features: Tensor, logit_gradients: Tensor) -> Tensor:
        """The gradient of `features` [n, H], given the loss's by logit [n, capacity]; `row_gradients` is filled."""
        torch.mm(logit_gradients.t(), features, out=self._weight_gradients)
        torch.sum(logit_gradients, dim=0, out=self._bias_gradients)
        return torch.mm(logit_gradients, self._weights)

    def imprint(self, means: Tensor) -> None:
        """Add a row per class in `means` [k, H], its mean feature: s·φ̄/‖φ̄‖, s the mean norm of live rows.

        Qi, Brown, Lowe, "Low-shot learning with imprinted weights" (CVPR 2018). Without live rows s is 1; the bias is
        the mean of the live ones.
        """
        live = self.live_rows[self.awake]
        norm = live[:, : self.width].norm(dim=1).mean() if len(live) else torch.ones((), device=means.device)
        bias = live[:, self.width].mean() if len(live) else torch.zeros((), device=means.device)
        self.extend(torch.cat((norm * torch.nn.functional.normalize(means, dim=1), bias.expand(len(means), 1)), dim=1))

    def extend(self, new: Tensor) -> None:
        """Add live rows [k, H + 1] as they are; where they do not fit, capacity doubles until they do."""
        total = self.num_live + len(new)
        if total > self.capacity:
            grown = _dead_rows(capacity_for(total), self.width, self.rows.device)
            grown[: self.num_live] = self.live_rows
            self._take(grown)
        self.rows[self.num_live : total] = new
        self._asleep |= {self.num_live + int(place) for place in torch.nonzero(new[:, self.width] <= SURELY_ASLEEP)}
        self.num_live = total
        self._note_awake()

    def put_to_sleep(self, index: int) -> Tensor:
        """Answer no more with a row; returns a copy of it, [H + 1]."""
        row = self.rows[index].clone()
        self.rows[index] = 0.0
        self.rows[index, self.width] = ASLEEP
        self._asleep.add(index)
        self._note_awake()
        return row

    def wake(self, index: int, row: Tensor) -> None:
        """Answer with this row [H + 1] again."""
        self.rows[index] = row
        self._asleep.discard(index)
        self._note_awake()

    def awake_mean(self) -> Tensor:
        """[H + 1], of the rows that answer; zeros where there is none."""
        awake = self.live_rows[self.awake]
        return awake.mean(dim=0) if len(awake) else self.rows.new_zeros(self.width + 1)

    def keep_asleep(self, gradients: Tensor) -> None:
        """Let no gradient by row or by logit, [num_live, …] in place, move what is asleep."""
        if self._asleep:
            gradients[sorted(self._asleep)] = 0.0

    def _note_awake(self) -> None:
        if self._asleep:
            awake = [index for index in range(self.num_live) if index not in self._asleep]
            self.awake = torch.tensor(awake, dtype=torch.int64, device=self.rows.device)
        else:
            self.awake = slice(None)

    def _take(self, rows: Tensor) -> None:
        """Make `rows` ours, with the views that every step needs."""
        self.rows = rows
        self._weights, self._biases = rows[:, : self.width], rows[:, self.width]
        self.row_gradients = torch.zeros_like(rows)
        self._weight_gradients = self.row_gradients[:, : self.width]
        self._bias_gradients = self.row_gradients[:, self.width]


def _dead_rows(capacity: int, width: int, device: torch.device) -> Tensor:
    rows = torch.zeros(capacity, width + 1, device=device)
    rows[:, width] = -torch.inf
    return rows
