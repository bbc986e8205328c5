"""Two models side by side: what is counted is what a reader of the table would count by hand."""

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pytest

from labelled_rows import PLANE, event_batch
from penstock.learning.comparison import Answers, answers, compare
from penstock.learning.rows import Columns

LABELS = ["a", "a", "a", "b", "b", "c"]
EVENTS = event_batch(PLANE.schema, {"point": np.arange(12).reshape(6, 2)}, LABELS).events


class Scripted:
    """Answers row by row as written: a class and its probability, the rest shared by the others."""

    def __init__(self, names: Sequence[str], said: Sequence[tuple[str, float]]) -> None:
        self.class_names = tuple(names)
        self._said = said

    def probabilities(self, columns: Columns) -> npt.NDArray[np.float32]:
        rows = (columns["point"][:, 0] / 2).astype(int).tolist()
        found = []
        for row in rows:
            name, probability = self._said[row]
            rest = (1 - probability) / (len(self.class_names) - 1)
            found.append([probability if name == each else rest for each in self.class_names])
        return np.array(found, dtype=np.float32)


LIVE = Scripted(["b", "a"], [("a", 0.9), ("a", 0.8), ("b", 0.7), ("b", 0.6), ("a", 0.9), ("a", 0.75)])
FRESH = Scripted(["a", "b", "c"], [("a", 0.6), ("a", 0.6), ("a", 0.9), ("b", 0.6), ("c", 0.8), ("c", 0.98)])


def test_answers_are_scored_by_name_and_unknown_labels_at_an_even_guess() -> None:
    live = answers(LIVE, EVENTS, PLANE.schema)
    assert live.is_right.tolist() == [True, True, False, True, False, False]
    assert live.accuracy == 0.5
    assert live.true_probability == pytest.approx([0.9, 0.8, 0.3, 0.6, 0.1, 1 / 3])
    assert live.log_loss == pytest.approx(-np.log([0.9, 0.8, 0.3, 0.6, 0.1, 1 / 3]).mean())


def test_differences_are_counted_and_the_surest_are_shown_first() -> None:
    found = compare(EVENTS, answers(LIVE, EVENTS, PLANE.schema), answers(FRESH, EVENTS, PLANE.schema), num_examples=2)
    assert (found.num_events, found.num_differing) == (6, 3)
    assert (found.live_alone_right, found.fresh_alone_right) == (0, 2)
    first, second = found.examples
    assert (first.offset, first.label, first.live[0], first.fresh[0]) == (4, "b", "a", "c")
    assert (second.offset, second.label, second.live[0], second.fresh[0]) == (5, "c", "a", "c")
    assert second.fresh[1] == pytest.approx(0.98)


def test_each_class_has_its_own_row_the_most_frequent_first() -> None:
    found = compare(EVENTS, answers(LIVE, EVENTS, PLANE.schema), answers(FRESH, EVENTS, PLANE.schema))
    assert [(row.name, row.num_events) for row in found.classes] == [("a", 3), ("b", 2), ("c", 1)]
    assert [row.live for row in found.classes] == pytest.approx([2 / 3, 1 / 2, 0])
    assert [row.fresh for row in found.classes] == pytest.approx([1, 1 / 2, 1])


def paired(both: int, live_alone: int, fresh_alone: int, neither: int = 0) -> tuple[Answers, Answers, object]:
    live = [True] * (both + live_alone) + [False] * (fresh_alone + neither)
    fresh = [True] * both + [False] * live_alone + [True] * fresh_alone + [False] * neither
    events = event_batch(PLANE.schema, {"point": np.zeros((len(live), 2))}, ["x"] * len(live)).events
    return said(live), said(fresh), events


def said(is_right: list[bool]) -> Answers:
    count = len(is_right)
    return Answers(
        predicted=np.array(["x" if right else "y" for right in is_right], dtype=object),
        probability=np.full(count, 0.5),
        true_probability=np.full(count, 0.5),
        is_right=np.array(is_right),
    )


@pytest.mark.parametrize(
    ("both", "live_alone", "fresh_alone", "better"),
    [(900, 20, 80, True), (900, 50, 50, False), (990, 4, 6, False), (900, 80, 20, False), (1000, 0, 0, False)],
)
def test_better_means_by_more_than_chance(both: int, live_alone: int, fresh_alone: int, better: bool) -> None:
    live, fresh, events = paired(both, live_alone, fresh_alone)
    assert compare(events, live, fresh).fresh_is_better is better


def test_the_lower_bound_is_that_of_the_mean_of_paired_differences() -> None:
    live, fresh, events = paired(50, 10, 30, 10)
    differences = np.array([0] * 50 + [-1] * 10 + [1] * 30 + [0] * 10)
    expected = differences.mean() - 1.645 * differences.std() / math.sqrt(100)
    assert compare(events, live, fresh).lower_bound == pytest.approx(expected)


def test_without_a_live_model_there_is_nothing_to_lose_to() -> None:
    _, fresh, events = paired(1, 0, 0)
    found = compare(events, None, fresh)
    assert found.fresh_is_better
    assert found.examples == ()
    assert found.classes[0].live is None


def test_no_events_are_no_reason_to_call_it_better() -> None:
    empty = EVENTS.slice(0, 0)
    found = compare(empty, answers(LIVE, empty, PLANE.schema), answers(FRESH, empty, PLANE.schema))
    assert (found.num_events, found.fresh_is_better, found.fresh.accuracy) == (0, False, 0.0)


def test_a_class_that_loses_much_is_named_and_a_handful_of_rows_is_not_held_against_it() -> None:
    labels = ["large"] * 100 + ["small"] * 20 + ["few"] * 5
    live = np.array([True] * 50 + [False] * 50 + [True] * 20 + [True] * 5)
    fresh = np.array([True] * 100 + [True] * 12 + [False] * 8 + [False] * 5)
    events = event_batch(PLANE.schema, {"point": np.zeros((125, 2))}, labels).events
    found = compare(events, said(live.tolist()), said(fresh.tolist()))
    assert found.fresh_is_better
    assert [row.name for row in found.losing(0.2)] == ["small"]
    assert found.losing(0.4) == ()
    assert compare(events, None, said(fresh.tolist())).losing(0.2) == ()
