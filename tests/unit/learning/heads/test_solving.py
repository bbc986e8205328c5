"""When the analytic head is solved again: at births, as classes grow, and not for every row of a long stream."""

import numpy as np
import pytest
import torch

from penstock.learning.heads.absence import Attendance
from penstock.learning.heads.analytic import AnalyticHead
from penstock.learning.heads.discriminant import penalty, solve
from penstock.learning.heads.solving import YOUNG_ROWS, Solving


class Stream:
    """One row at a time; `solved` counts events at every solve."""

    def __init__(self, width: int = 64) -> None:
        self.attendance = Attendance()
        self.analytic = AnalyticHead(width, seed=0)
        self.solving = Solving(self.attendance)
        self.generator = np.random.default_rng(0)
        self.solved: list[int] = []

    def see(self, *labels: int) -> "Stream":
        for label in labels:
            classes = np.array([label])
            self.analytic.grow(max(self.analytic.num_classes, label + 1))
            self.analytic.learn(self.generator.normal(size=(1, self.analytic.features.width)), classes)
            self.attendance.saw(classes)
            if self.solving.is_due(classes, self.analytic):
                self.solving.done()
                self.analytic.solve()
                self.solved.append(self.attendance.num_events)
        return self


def test_a_birth_is_solved_for_at_once() -> None:
    stream = Stream().see(*[0] * 40)
    stream.see(1)
    assert stream.solved[-1] == 41


@pytest.mark.parametrize("rows", [2, 3, 5, 8])
def test_a_class_of_few_rows_is_solved_for_with_each_of_them(rows: int) -> None:
    """At a thousand features a solve costs as much as many rows, and yet the answer may not be that of one row."""
    stream = Stream().see(*[0] * 200, *[1] * rows)
    assert stream.analytic.features.size > 1000
    assert stream.solved[-rows:] == list(range(201, 201 + rows))
    assert stream.analytic.solved_counts.tolist() == [200, rows]


def test_a_long_stream_of_known_classes_is_solved_once_in_a_64th_of_it() -> None:
    stream = Stream(width=4).see(*[place % 2 for place in range(1500)])
    late = [event for event in stream.solved if event > 1000]
    assert 20 <= len(late) <= 35
    assert YOUNG_ROWS < 1000


@pytest.mark.parametrize("weight", [1e-9, 1.0, 1e9, 1e30])
def test_the_penalty_keeps_few_rows_of_any_weight_solvable(weight: float) -> None:
    """Five rows span five of twenty directions; the others have the penalty alone to stand on."""
    rows = np.random.default_rng(0).normal(size=(5, 20))
    labels, weights = np.array([0, 0, 1, 1, 1]), np.full(5, weight)
    gram = torch.from_numpy(rows.T @ (weights[:, None] * rows))
    marks = np.eye(2)[labels] * weights[:, None]
    ridge_penalty = penalty(gram, float(weights.sum()), 20)
    solution = solve(gram, marks.T @ rows, marks.sum(axis=0), np.array([2.0, 3.0]), ridge_penalty)
    readout = solution.readout(2)
    assert np.isfinite(readout.weights).all()
    assert (rows @ readout.weights + readout.biases).argmax(axis=1).tolist() == labels.tolist()
