"""The rows kept for replay: tensors on the training device, each slot filled as the policy says."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from penstock.flow import Array, SlotChanges
from penstock.replay.class_balanced import EMPTY_SLOT, ClassBalancedPolicy


@dataclass(frozen=True, kw_only=True)
class TrainRows:
    """Rows ready to train on: `dense` [n, D] raw, `tokens` [n, T], `classes` int64 [n], `weights` float32 [n]."""

    dense: Tensor
    tokens: Tensor
    classes: Tensor
    weights: Tensor

    def at(self, indices: Tensor) -> "TrainRows":
        """The rows at `indices` [k]."""
        return TrainRows(
            dense=self.dense[indices],
            tokens=self.tokens[indices] if self.tokens.shape[1] else self.tokens.new_zeros(len(indices), 0),
            classes=self.classes[indices],
            weights=self.weights[indices],
        )


class Reservoir:
    """`capacity` slots of one encoded row each."""

    def __init__(self, capacity: int, dense_width: int, tokens_width: int, device: torch.device) -> None:
        self._device = device
        self._policy = ClassBalancedPolicy(capacity)
        self._rows = TrainRows(
            dense=torch.zeros(capacity, dense_width, device=device),
            tokens=torch.zeros(capacity, tokens_width, dtype=torch.int32, device=device),
            classes=torch.full((capacity,), EMPTY_SLOT, dtype=torch.int64, device=device),
            weights=torch.zeros(capacity, device=device),
        )
        self._changed: npt.NDArray[np.bool_] = np.zeros(capacity, dtype=np.bool_)

    def __len__(self) -> int:
        return self._policy.num_rows

    @property
    def capacity(self) -> int:
        return self._policy.capacity

    @property
    def quota(self) -> int:
        """How many rows of one class are kept at most."""
        return self._policy.quota

    def draw(self, num_rows: int, generator: np.random.Generator) -> TrainRows:
        """So many rows, uniformly and with replacement; the reservoir must not be empty."""
        positions = generator.integers(0, len(self), size=num_rows)
        return self._rows.at(self._to_device(self._policy.slots_of(positions)))

    def add(self, rows: TrainRows, classes: npt.NDArray[np.int64], priorities: npt.NDArray[np.uint64]) -> None:
        """Offer a batch [n]; `classes` are those of `rows`, on the host."""
        plan = self._policy.admit(classes, priorities)
        if len(plan.freed):
            self._rows.classes[self._to_device(plan.freed)] = EMPTY_SLOT
            self._changed[plan.freed] = True
        if len(plan.rows) == 0:
            return
        slots = self._to_device(plan.slots)
        entering = rows if len(plan.rows) == len(classes) else rows.at(self._to_device(plan.rows))
        self._put(slots, entering)
        self._changed[plan.slots] = True

    def capture(self, *, full: bool) -> SlotChanges:
        """Host copies of the slots changed since the last capture, or of all in use; an emptied slot has class −1."""
        slots = np.flatnonzero(self._policy.slot_classes != EMPTY_SLOT if full else self._changed)
        at = self._rows.at(self._to_device(slots))
        columns: dict[str, Array] = {
            "dense": at.dense.cpu().numpy(),
            "tokens": at.tokens.cpu().numpy(),
            "class_index": self._policy.slot_classes[slots],
            "weight": at.weights.cpu().numpy(),
            "priority": self._policy.slot_priorities[slots],
        }
        self._changed[:] = False
        return SlotChanges(full=full, slots=slots.astype(np.int64), columns=columns)

    def restore(self, stored: SlotChanges, *, capacity: int, quota: int) -> None:
        """Hold the rows of a full capture of a reservoir of this `capacity` and `quota`, in the same slots.

        Where our own capacity is another, the rows are offered anew, and so cut or given room.

        Raises:
            ValueError: the capture is not full.
        """
        if not stored.full:
            raise ValueError("the reservoir was stored as changes only")
        used = stored.columns["class_index"] != EMPTY_SLOT
        slots, columns = stored.slots[used], {name: column[used] for name, column in stored.columns.items()}
        classes, priorities = columns["class_index"].astype(np.int64), columns["priority"].astype(np.uint64)
        rows = TrainRows(
            dense=torch.from_numpy(columns["dense"]).to(self._device),
            tokens=torch.from_numpy(columns["tokens"]).to(self._device),
            classes=torch.from_numpy(classes).to(self._device),
            weights=torch.from_numpy(columns["weight"]).to(self._device),
        )
        if capacity != self._policy.capacity:
            self._policy = ClassBalancedPolicy(self._policy.capacity)
            self.add(rows, classes, priorities)
            return
        self._policy = ClassBalancedPolicy.restored(capacity, slots, classes, priorities, quota)
        self._rows.classes.fill_(EMPTY_SLOT)
        self._put(self._to_device(slots), rows)
        self._changed[:] = False

    def _put(self, slots: Tensor, rows: TrainRows) -> None:
        self._rows.dense[slots] = rows.dense
        if self._rows.tokens.shape[1]:
            self._rows.tokens[slots] = rows.tokens
        self._rows.classes[slots] = rows.classes
        self._rows.weights[slots] = rows.weights

    def _to_device(self, indices: npt.NDArray[np.int64]) -> Tensor:
        return torch.from_numpy(indices).to(self._device)
