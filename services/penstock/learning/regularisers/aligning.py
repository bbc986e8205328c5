"""New classes' rows are kept as long as the old ones' are on average.

Zhao et al., "Maintaining discrimination and fairness in class incremental learning" (CVPR 2020), eq. 5 and 6: rows of
classes that were just learnt grow longer than the others, and their logits win too often.
"""

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from penstock.flow import Array
from penstock.learning.head import SURELY_ASLEEP, LinearHead
from penstock.learning.tensors import host_tensor


def align(head: LinearHead, num_old: int) -> None:
    """Multiply the rows awake from `num_old` on, biases too, by γ = mean‖w_old‖ / mean‖w_new‖.

    Old logits stay as they are to the bit, and new ones in their order.
    """
    old, new = head.live_rows[:num_old, : head.width], head.live_rows[num_old:, : head.width]
    old_lengths, new_lengths = (_not_zero(rows.norm(dim=1)) for rows in (old, new))
    if len(old_lengths) and len(new_lengths):
        is_awake = head.live_rows[num_old:, head.width :] > SURELY_ASLEEP
        head.live_rows[num_old:] *= (old_lengths.mean() / new_lengths.mean()).where(is_awake, 1.0)


def _not_zero(lengths: Tensor) -> Tensor:
    """Without those of classes that are asleep."""
    return lengths[lengths > 0]


class WeightAligning:
    """Aligns after every micro-batch the classes born within the last `num_events` events."""

    def __init__(self, num_events: int, head: LinearHead) -> None:
        self._num_events = num_events
        self._head = head
        self._born_at = np.zeros(0, dtype=np.int64)

    def grow(self, events_learnt: int) -> None:
        """Head rows born since were born now."""
        born = self._head.num_live - len(self._born_at)
        self._born_at = np.concatenate((self._born_at, np.full(born, events_learnt, dtype=np.int64)))

    def apply(self, events_learnt: int) -> None:
        """Align, if there are both old classes and new ones."""
        num_old = int(np.searchsorted(self._born_at, events_learnt - self._num_events, side="right"))
        if 0 < num_old < self._head.num_live:
            align(self._head, num_old)

    def state(self) -> dict[str, Tensor]:
        """A copy."""
        return {"born_at": torch.from_numpy(self._born_at.copy())}

    def load(self, arrays: Mapping[str, Array] | None) -> None:
        """Take up the values of `state()`; None: every class there is was born long ago."""
        if arrays is None:
            self._born_at = np.full(self._head.num_live, -self._num_events, dtype=np.int64)
        else:
            self._born_at = host_tensor(arrays["born_at"]).numpy().astype(np.int64)
