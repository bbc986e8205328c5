"""A class is absent once it has stayed away for three times its usual gap, and nothing else is."""

import numpy as np
import pytest

from penstock.learning.heads.absence import Attendance


def seen(classes: np.ndarray, at_once: int = 16) -> Attendance:
    attendance = Attendance()
    for start in range(0, len(classes), at_once):
        attendance.saw(classes[start : start + at_once])
    return attendance


def test_while_all_classes_come_none_is_absent() -> None:
    assert seen(np.random.default_rng(0).integers(0, 4, 2000)).absence == 0


def test_a_class_that_is_merely_rare_is_not_absent() -> None:
    """Old rows of it would mislead where its place moves."""
    generator = np.random.default_rng(0)
    classes = (generator.random(5000) < 0.2).astype(np.int64)
    absences = []
    attendance = Attendance()
    for start in range(0, 5000, 10):
        attendance.saw(classes[start : start + 10])
        absences.append(attendance.absence)
    assert np.mean(absences[50:]) < 0.02


def test_classes_of_earlier_tasks_are_absent_in_equal_parts() -> None:
    generator = np.random.default_rng(0)
    attendance = seen(np.concatenate([generator.integers(2 * task, 2 * task + 2, 200) for task in range(5)]))
    assert attendance.absence == pytest.approx(0.8)
    assert attendance.absences == pytest.approx([0.1] * 8 + [0, 0])


def test_the_last_of_several_rows_counts() -> None:
    attendance = Attendance()
    attendance.saw(np.array([0, 1, 0, 0, 1, 0]))
    assert attendance.last.tolist() == [6, 5]
    assert attendance.counts.tolist() == [4, 2]
    assert attendance.last_birth == 6


def test_a_restored_one_goes_on_alike() -> None:
    attendance, other = seen(np.array([0, 1, 2] * 20)), Attendance()
    other.load(attendance.state())
    for one in (attendance, other):
        one.saw(np.zeros(200, dtype=np.int64))
    assert attendance.absence == other.absence > 0
