"""Bursts of errors on one class: what is surprising at its own rate, and what is not."""

import numpy as np
import numpy.typing as npt

from penstock.learning.heads.class_bursts import ClassBursts

Int64s = npt.NDArray[np.int64]


def seen(bursts: ClassBursts, label: int, predicted: Int64s, first_event: int = 0) -> list[int]:
    """Events at which errors on the class have burst."""
    labels, found = np.full(1, label), []
    for place in range(len(predicted)):
        event = np.array([first_event + place])
        if bursts.saw(labels, predicted[place : place + 1], event):
            found.append(first_event + place)
    return found


def noisy(count: int, rate: float, *, seed: int) -> Int64s:
    """Answers to rows of class 0, wrong (1) at this rate."""
    return (np.random.default_rng(seed).uniform(size=count) < rate).astype(np.int64)


def test_a_class_that_fails_altogether_is_found_within_nine_of_its_own_rows() -> None:
    bursts = ClassBursts()
    assert seen(bursts, 0, noisy(300, 0.05, seed=0)) == []
    found = seen(bursts, 0, np.full(16, 2), first_event=1000)
    assert found[0] - 1000 < 9
    burst = bursts.of(0)
    assert (burst.label, burst.blamed) == (0, (2,))
    assert burst.recall <= 0.5


def test_a_class_that_fails_by_half_is_found_within_sixty_of_its_own_rows() -> None:
    bursts = ClassBursts()
    seen(bursts, 0, noisy(300, 0.05, seed=0))
    assert seen(bursts, 0, noisy(60, 0.6, seed=1), first_event=1000)


def test_errors_that_come_at_a_constant_rate_are_hardly_ever_a_burst() -> None:
    found = []
    for seed, rate in enumerate((0.02, 0.1, 0.25, 0.5)):
        bursts = ClassBursts()
        found += seen(bursts, 0, noisy(20_000, rate, seed=seed))
    assert len(found) <= 3


def test_a_class_of_which_little_is_known_has_no_burst() -> None:
    bursts = ClassBursts()
    assert seen(bursts, 0, np.zeros(32, dtype=np.int64)) == []
    assert seen(bursts, 0, np.ones(6, dtype=np.int64)) == []


def test_errors_whose_answers_are_right_for_rows_of_their_own_are_told_from_those_that_are_not() -> None:
    """Rows of class 3 under the name of class 0 are answered with 3, rightly so; rows of 0 that is now called 3 not."""
    for right_for_others, expected in ((24, 1.0), (0, 0.0)):
        bursts = ClassBursts()
        for label in (0, 3):
            seen(bursts, label, np.full(100, label))
        answers = np.full(32, 0)
        answers[:right_for_others] = 3
        assert seen(bursts, 0, np.full(16, 3), first_event=1000)
        seen(bursts, 3, answers, first_event=1000)
        assert bursts.of(0).of_good_answers == expected


def test_of_a_class_that_is_not_established_every_answer_counts_as_good() -> None:
    bursts = ClassBursts()
    seen(bursts, 0, np.full(100, 0))
    assert seen(bursts, 0, np.full(16, 7), first_event=1000)
    assert bursts.of(0).of_good_answers == 1.0


def test_classes_that_are_forgotten_begin_anew_and_others_do_not() -> None:
    bursts = ClassBursts()
    for label in (0, 3):
        seen(bursts, label, np.full(100, label))
    bursts.forget([0])
    assert seen(bursts, 0, np.full(16, 2)) == []
    assert seen(bursts, 3, np.full(16, 2))


def test_restored_it_goes_on_alike() -> None:
    one, other = ClassBursts(), ClassBursts()
    seen(one, 0, noisy(300, 0.1, seed=0))
    other.load(one.state())
    for bursts in (one, other):
        assert seen(bursts, 0, np.full(16, 2), first_event=300)
    assert one.of(0) == other.of(0)
