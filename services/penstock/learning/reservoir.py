"""The rows kept for replay: inputs on the training device, each slot filled as the policy says."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from penstock.flow import Array, Json, SlotChanges
from penstock.learning.rows import EncodedRows
from penstock.learning.train_rows import LOGIT_COLUMNS, RowForm, TrainRows
from penstock.replay.choice import empty_policy
from penstock.replay.config import ReplayConfig
from penstock.replay.policy import EMPTY_SLOT, Arrivals

Int64s = npt.NDArray[np.int64]


class Reservoir:
    """`capacity` slots of one encoded row each."""

    def __init__(self, config: ReplayConfig, form: RowForm) -> None:
        capacity = config.capacity
        self.form = form
        self._config = config
        self._policy = empty_policy(config, capacity)
        self._rows = form.empty(capacity, EMPTY_SLOT)
        self._times: Int64s = np.zeros(capacity, dtype=np.int64)
        self._num_by_class: Int64s = np.zeros(0, dtype=np.int64)
        self._num_offered = 0
        self._changed: npt.NDArray[np.bool_] = np.zeros(capacity, dtype=np.bool_)
        self._must_be_full = False

    def __len__(self) -> int:
        return self._policy.num_rows

    @property
    def capacity(self) -> int:
        return self._policy.capacity

    @property
    def slot_classes(self) -> Int64s:
        """The class of each slot's row, −1 where a slot is empty; not a copy."""
        return self._rows.classes

    @property
    def priorities(self) -> npt.NDArray[np.uint64]:
        """The priority of each slot's row, which is the row's alone; not a copy."""
        return self._policy.slot_priorities

    @property
    def times(self) -> Int64s:
        """When each slot's row was offered, counted in rows; not a copy."""
        return self._times

    @property
    def num_offered(self) -> int:
        """Rows ever offered."""
        return self._num_offered

    def num_by_class(self, num_classes: int) -> Int64s:
        """[num_classes], at least as many as have rows: how many are kept of each. Takes no longer with more slots."""
        return np.concatenate((self._num_by_class, np.zeros(num_classes - len(self._num_by_class), dtype=np.int64)))

    def holds(self, priorities: npt.NDArray[np.uint64]) -> npt.NDArray[np.bool_]:
        """[n]: which rows of these priorities are kept."""
        return self._policy.holds(priorities)

    def at(self, slots: Int64s) -> TrainRows:
        """The rows in these slots [k]."""
        return self._rows.at(slots)

    def encoded_at(self, slots: Int64s) -> EncodedRows:
        """The rows in these slots [k], on the host."""
        dense, tokens = self._rows.dense, self._rows.tokens
        if dense.device.type == "cpu":
            return EncodedRows(dense=dense.numpy()[slots], tokens=tokens.numpy()[slots])
        on_device = torch.from_numpy(slots).to(dense.device)
        return EncodedRows(
            dense=dense.index_select(0, on_device).cpu().numpy(), tokens=tokens.index_select(0, on_device).cpu().numpy()
        )

    def weights_at(self, slots: Int64s) -> npt.NDArray[np.float32]:
        """The weights [k] of the rows in these slots."""
        return self._rows.weights[slots]

    def drop_classes(self, classes: Int64s) -> None:
        """Forget every row of these classes; they may be offered again."""
        self.drop(np.flatnonzero(np.isin(self._rows.classes, classes) & (self._rows.classes != EMPTY_SLOT)))

    def drop(self, dropped: Int64s) -> None:
        """Forget the rows in these slots, which must be in use."""
        self._policy.remove(dropped)
        self._empty(dropped)

    def draw(self, num_rows: int, generator: np.random.Generator) -> TrainRows:
        """So many rows, uniformly and with replacement; the reservoir must not be empty."""
        return self._rows.at(self._policy.slots_of(generator.integers(0, len(self), size=num_rows)))

    def add(self, rows: TrainRows, priorities: npt.NDArray[np.uint64]) -> Int64s:
        """Offer a batch, with the priority [n] of each row. Returns when each was offered, [n], as in `times`."""
        times = np.arange(self._num_offered, self._num_offered + len(rows.classes))
        self._num_offered += len(rows.classes)
        self._put(rows, Arrivals(classes=rows.classes, priorities=priorities, times=times))
        return times

    def _put(self, rows: TrainRows, arrivals: Arrivals) -> None:
        plan = self._policy.admit(arrivals)
        if len(plan.freed):
            self._empty(plan.freed)
        if len(plan.rows):
            self._empty(plan.slots)
            self._rows.put(plan.slots, rows, at=plan.rows)
            self._times[plan.slots] = arrivals.times[plan.rows]
            self._count(plan.slots)

    def _empty(self, slots: Int64s) -> None:
        """Nothing is in these slots now, whether or not there was."""
        classes = self._rows.classes[slots]
        np.subtract.at(self._num_by_class, classes[classes != EMPTY_SLOT], 1)
        self._rows.classes[slots] = EMPTY_SLOT
        self._changed[slots] = True

    def _count(self, slots: Int64s) -> None:
        """Rows have come into these slots, which were empty."""
        classes = self._rows.classes[slots]
        num_classes = int(classes.max(initial=EMPTY_SLOT)) + 1
        if num_classes > len(self._num_by_class):
            self._num_by_class = self.num_by_class(num_classes)
        np.add.at(self._num_by_class, classes, 1)

    def capture(self, *, full: bool) -> SlotChanges:
        """Host copies of the slots changed since the last capture, or of all in use; an emptied slot has class −1.

        Where rows have moved to other slots, or have other columns, it is full whether asked for or not.
        """
        full = full or self._must_be_full
        slots = np.flatnonzero(self._rows.classes != EMPTY_SLOT if full else self._changed)
        rows = self._rows.at(slots)
        columns: dict[str, Array] = {
            "dense": rows.dense.cpu().numpy(),
            "tokens": rows.tokens.cpu().numpy(),
            "class_index": rows.classes,
            "weight": rows.weights,
            "priority": self._policy.slot_priorities[slots],
            "time": self._times[slots],
            **rows.logit_arrays(),
        }
        self._changed[:] = False
        self._must_be_full = False
        return SlotChanges(full=full, slots=slots, columns=columns)

    def state(self) -> dict[str, Json]:
        """What `restore` needs beside the rows."""
        return {
            "capacity": self.capacity,
            "policy": self._config.policy,
            "num_offered": self._num_offered,
            "policy_state": dict(self._policy.state()),
        }

    def is_of_another_kind(self, state: Mapping[str, Any]) -> bool:
        """Whether rows of a reservoir of this `state()` cannot stay where they were."""
        return (state["capacity"], state["policy"]) != (self.capacity, self._config.policy)

    def restore(self, stored: SlotChanges, state: Mapping[str, Any]) -> None:
        """Hold the rows of a full capture of a reservoir of this `state()`, in the same slots.

        Where our own capacity or policy is another, the rows are offered anew, and so cut or given room.

        Raises:
            ValueError: the capture is not full.
        """
        if not stored.full:
            raise ValueError("the reservoir was stored as changes only")
        used = stored.columns["class_index"] != EMPTY_SLOT
        slots, columns = stored.slots[used], {name: column[used] for name, column in stored.columns.items()}
        rows = self.form.read(columns, "class_index", "weight")
        kept = Arrivals(
            classes=rows.classes,
            priorities=columns["priority"].astype(np.uint64),
            times=columns["time"].astype(np.int64),
        )
        self._num_offered = state["num_offered"]
        self._rows.classes[:] = EMPTY_SLOT
        self._num_by_class = np.zeros(0, dtype=np.int64)
        is_another = self.is_of_another_kind(state)
        self._must_be_full = is_another or (LOGIT_COLUMNS in columns) != self.form.remembers_logits
        self._policy = empty_policy(self._config, self.capacity)
        if is_another:
            self._put(rows, kept)
        else:
            self._policy.restore(slots, kept, state["policy_state"])
            self._rows.put(slots, rows)
            self._times[slots] = kept.times
            self._count(slots)
        self._changed[:] = False
