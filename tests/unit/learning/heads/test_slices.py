"""Micro-batches are cut where a class is born, and never into very many pieces."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from penstock.learning.heads.slices import CLASSES_PER_ROW, MOST_CUTS_AT_BIRTHS, MOST_SLICES, slices


def test_a_batch_of_known_classes_in_a_settled_stream_is_one_slice() -> None:
    for rows in (32, 256):
        assert list(slices(np.zeros(rows, dtype=np.int64), 1, 10_000, 0)) == [(0, rows)]


def test_a_slice_ends_with_the_first_row_of_a_new_class_and_few_rows_follow_at_once() -> None:
    classes = np.array([0, 1, 0, 2, 2, 0, 2, 2, 0, 1, 2, 0])
    found = list(slices(classes, 2, 10_000, 0))
    assert found[0] == (0, 4)
    assert found[1] == (4, 5)
    assert all(stop - start <= 1 + (start - 4) // 4 for start, stop in found[1:])


def test_where_there_is_much_to_do_fewer_slices_follow_a_birth_the_more_classes_there_are() -> None:
    def after_a_birth(num_known: int, num_rows: int = 80) -> list[tuple[int, int]]:
        return list(slices(np.zeros(num_rows, dtype=np.int64), num_known, 10_000, 10_000))

    few, many = after_a_birth(2), after_a_birth(20 * CLASSES_PER_ROW)
    assert many[0] == (0, 21)
    assert len(many) < len(few) / 2
    assert after_a_birth(20 * CLASSES_PER_ROW, 32) == after_a_birth(2, 32)


@given(
    classes=st.lists(st.integers(0, 400), min_size=1, max_size=600),
    known=st.integers(0, 300),
    events=st.integers(0, 2000),
)
def test_slices_are_the_batch_and_not_too_many(classes: list[int], known: int, events: int) -> None:
    found = list(slices(np.array(classes), known, events, events // 2))
    assert [start for start, _ in found] == [0, *(stop for _, stop in found[:-1])]
    assert found[-1][1] == len(classes)
    assert all(start < stop for start, stop in found)
    assert len(found) <= MOST_SLICES + MOST_CUTS_AT_BIRTHS + 1
