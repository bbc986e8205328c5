"""Held-back rows are asked as often as absence asks for them, whatever the size of the slices."""

import numpy as np
import pytest
import torch

from penstock.learning.heads.absence import Attendance
from penstock.learning.heads.held_rows import LARGE_SLICE, LEAST_TOP_UP, HeldRows
from penstock.learning.heads.inputs import HeadInputs
from penstock.learning.history import History
from penstock.learning.reservoir import Reservoir
from penstock.learning.shelves import Shelves
from penstock.learning.train_rows import RowForm, TrainRows
from penstock.replay.config import ReplayConfig

NUM_ROWS, NUM_CLASSES, WIDTH = 400, 5, 3


def kept_rows() -> Reservoir:
    generator = np.random.default_rng(0)
    form = RowForm(dense_width=WIDTH, tokens_width=0, device=torch.device("cpu"), remembers_logits=False)
    reservoir = Reservoir(ReplayConfig(capacity=NUM_ROWS), form)
    rows = TrainRows(
        dense=torch.from_numpy(generator.normal(size=(NUM_ROWS, WIDTH))).float(),
        tokens=torch.zeros(NUM_ROWS, 0, dtype=torch.int32),
        classes=np.arange(NUM_ROWS) % NUM_CLASSES,
        weights=np.ones(NUM_ROWS, dtype=np.float32),
        remembered=None,
    )
    reservoir.add(rows, generator.integers(0, 2**63, NUM_ROWS).astype(np.uint64))
    return reservoir


def drawn(num_fresh: int, slices: int) -> list[int]:
    """How many held rows go along with each of so many slices, while the first of five classes stays away."""
    reservoir, shelves, attendance = kept_rows(), Shelves(), Attendance()
    shelves.sort(reservoir.slot_classes, reservoir.priorities, NUM_CLASSES)
    attendance.saw(np.arange(NUM_ROWS) % NUM_CLASSES)
    attendance.saw(np.arange(2 * NUM_ROWS) % (NUM_CLASSES - 1) + 1)
    assert attendance.absence == pytest.approx(1 / NUM_CLASSES)
    held, draws = HeldRows(shelves, attendance, HeadInputs(0, WIDTH, seed=0), History()), np.random.default_rng(1)
    held.settle(reservoir, None)
    counts = []
    for _ in range(slices):
        places = held.draw(num_fresh, reservoir, draws)
        assert not held.classes[places].any()
        counts.append(len(places))
    return counts


def test_as_many_held_rows_go_along_as_absence_asks_for() -> None:
    assert drawn(8, slices=10) == [2] * 10


def test_of_large_slices_some_take_the_held_rows_of_all() -> None:
    fresh = LARGE_SLICE + 1
    counts = drawn(fresh, slices=10)
    assert sum(counts) == pytest.approx(10 * fresh / 4, abs=LEAST_TOP_UP)
    assert all(count == 0 or count >= LEAST_TOP_UP for count in counts)
    assert 0 in counts
