"""A correction holds for its very input, until the input is contested; noise makes none."""

import numpy as np
import pytest

from penstock.learning.heads.exceptions import MOST, Exceptions, RowKeys, overruled

NO_TOKENS = np.zeros((1, 0), dtype=np.int32)


def keys_of(values: np.ndarray) -> np.ndarray:
    rows = values.astype(np.float32)
    return RowKeys(rows.shape[1])(rows, np.zeros((len(rows), 0), dtype=np.int32))


def learnt(exceptions: Exceptions, rows: np.ndarray, labels: list[int], wrong: bool, first: int = 1) -> None:
    """`first` is the priority of the first row, the next ones have the next."""
    priorities = np.arange(first, first + len(labels), dtype=np.uint64)
    exceptions.learn(keys_of(rows), np.array(labels), np.full(len(labels), wrong), priorities)


def labelled(*events: tuple[int, bool] | None) -> Exceptions:
    """One input given labels that the model had wrong or not, with priorities from 1 on; None did not come."""
    rows, exceptions = np.random.default_rng(0).normal(size=(400, 3)), Exceptions()
    for number, event in enumerate(events):
        if event is not None:
            learnt(exceptions, rows[:1], [event[0]], wrong=event[1], first=number + 1)
        between = slice(1 + 40 * number, 41 + 40 * number)  # else the input would be one that keeps coming back
        learnt(exceptions, rows[between], [0] * 40, wrong=False, first=100 * (number + 1))
    return exceptions


def forget(exceptions: Exceptions, label: int, priority: int | None) -> bool:
    rows = np.random.default_rng(0).normal(size=(400, 3))
    return exceptions.forget(keys_of(rows[:1]), np.array([label]), priority)


def corrections(exceptions: Exceptions) -> dict[str, list[object]]:
    """What answers, and what becomes of further events."""
    return {name: array.tolist() for name, array in exceptions.state().items() if name in ("keys", "labels")}


def test_a_label_that_contradicts_the_model_is_kept_for_that_input_alone() -> None:
    rows, exceptions = np.random.default_rng(0).normal(size=(50, 3)), Exceptions()
    learnt(exceptions, rows[:40], [0] * 40, wrong=False)
    learnt(exceptions, rows[40:41], [1], wrong=True)
    found = exceptions.look_up(keys_of(rows))
    assert np.flatnonzero(found >= 0).tolist() == [40]
    assert found[40] == 1


def test_an_input_given_another_label_is_corrected_even_if_the_model_had_it_right() -> None:
    rows, exceptions = np.random.default_rng(0).normal(size=(30, 3)), Exceptions()
    learnt(exceptions, rows, [0] * 30, wrong=False)
    learnt(exceptions, rows[5:6], [2], wrong=False)
    assert exceptions.look_up(keys_of(rows[5:6])).tolist() == [2]


def test_the_last_word_holds_and_who_keeps_changing_is_not_believed() -> None:
    rows, exceptions = np.random.default_rng(0).normal(size=(40, 3)), Exceptions()
    learnt(exceptions, rows, [0] * 40, wrong=False)
    said = []
    for label in (1, 2, 1, 1):
        learnt(exceptions, rows[:1], [label], wrong=True)
        said.append(exceptions.look_up(keys_of(rows[:1]))[0])
    assert said == [1, 2, -1, -1]


def test_where_few_inputs_keep_coming_back_there_are_no_exceptions() -> None:
    generator = np.random.default_rng(0)
    rows, exceptions = generator.integers(0, 2, (2000, 7)).astype(float), Exceptions()
    for start in range(0, 2000, 20):
        learnt(exceptions, rows[start : start + 20], [int(label) for label in generator.integers(0, 2, 20)], wrong=True)
    assert (exceptions.look_up(keys_of(rows)) >= 0).mean() < 0.02


def test_the_table_is_bounded_and_its_file_answers_alike() -> None:
    rows, exceptions = np.random.default_rng(0).normal(size=(MOST + 100, 3)), Exceptions()
    learnt(exceptions, rows, [1] * len(rows), wrong=True)
    assert len(exceptions) == MOST
    read = Exceptions.of(*exceptions.table())
    assert np.array_equal(read.look_up(keys_of(rows)), exceptions.look_up(keys_of(rows)))
    other = Exceptions()
    other.load(exceptions.state())
    for name, array in exceptions.state().items():
        assert array.tobytes() == other.state()[name].tobytes(), name


@pytest.mark.parametrize("priority", [None, 2])
def test_a_wrong_correction_that_is_undone_leaves_the_right_one_before_it(priority: int | None) -> None:
    exceptions = labelled((1, True), (2, True))
    assert forget(exceptions, 2, priority)
    assert corrections(exceptions) == corrections(labelled((1, True), None))
    twice = labelled((1, True), (1, False))
    assert forget(twice, 1, priority)
    assert corrections(twice) == corrections(labelled((1, True), None))
    assert forget(twice, 1, None)
    assert corrections(twice) == corrections(Exceptions())


def test_whatever_is_undone_is_as_if_it_had_never_come_or_is_said_not_to_be_known() -> None:
    generator, num_known = np.random.default_rng(0), 0
    for _ in range(150):
        events = [
            (int(label), bool(wrong))
            for label, wrong in zip(generator.integers(0, 3, 5), generator.random(5) < 0.5, strict=True)
        ]
        gone = int(generator.integers(5))
        exceptions = Exceptions()
        exceptions.load(labelled(*events).state())
        if forget(exceptions, events[gone][0], gone + 1):
            num_known += 1
            without = [None if number == gone else event for number, event in enumerate(events)]
            assert corrections(exceptions) == corrections(labelled(*without)), (events, gone)
    assert num_known > 50


def test_what_came_too_long_ago_and_what_may_be_either_of_two_is_not_known() -> None:
    exceptions = labelled((1, True), *[(1, False)] * 5)
    assert not forget(exceptions, 1, 1)
    assert corrections(exceptions) == corrections(labelled((1, True)))
    assert not forget(labelled((1, True), (2, True), (1, True)), 1, None)


def test_no_exception_of_a_class_that_has_gone_comes_back() -> None:
    exceptions = labelled((1, True), (2, True))
    exceptions.drop([1])
    assert forget(exceptions, 2, 2)
    assert len(exceptions) == 0


def test_an_exception_wins_over_any_opinion_and_leaves_others_alone() -> None:
    probabilities = np.array([[0.98, 0.01, 0.01], [0.2, 0.5, 0.3]])
    found = overruled(probabilities.copy(), np.array([2, -1]))
    assert found[0].argmax() == 2
    assert found[0].sum() == 1
    assert np.array_equal(found[1], probabilities[1])


def test_keys_tell_rows_apart() -> None:
    rows = np.random.default_rng(0).integers(0, 3, (5000, 12)).astype(float)
    assert len(np.unique(keys_of(rows), axis=0)) == len(np.unique(rows, axis=0))


def test_what_a_learner_takes_for_zero_has_the_key_of_zero() -> None:
    zeros = np.array([[1.0, 0.0], [1.0, -0.0], [1.0, 1e-40], [1.0, 1e-37]], dtype=np.float32)
    assert len(np.unique(keys_of(zeros)[:3], axis=0)) == 1
    assert len(np.unique(keys_of(zeros), axis=0)) == 2
