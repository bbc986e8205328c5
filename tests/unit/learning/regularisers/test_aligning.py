"""WA: new rows are as long as old ones on average, and say the same among themselves."""

import pytest
import torch

from penstock.learning.head import ASLEEP, LinearHead
from penstock.learning.regularisers.aligning import WeightAligning, align

CPU = torch.device("cpu")
WIDTH = 7


def head_of(old: int, new: int, factor: float) -> LinearHead:
    head = LinearHead(WIDTH, CPU)
    head.extend(torch.randn(old, WIDTH + 1))
    head.extend(factor * torch.randn(new, WIDTH + 1))
    return head


def mean_length(rows: torch.Tensor) -> float:
    return float(rows[:, :WIDTH].norm(dim=1).mean())


@pytest.mark.parametrize("factor", [0.01, 1.0, 30.0])
def test_both_are_as_long_on_average_and_no_answer_among_either_changes(factor: float) -> None:
    head = head_of(5, 3, factor)
    features = torch.randn(40, WIDTH)
    before, length = head.logits(features), mean_length(head.live_rows[:5])
    gamma = length / mean_length(head.live_rows[5:])
    align(head, 5)
    after = head.logits(features)
    assert mean_length(head.live_rows[5:]) == pytest.approx(length, rel=1e-5)
    assert torch.equal(after[:, :5], before[:, :5])
    assert torch.allclose(after[:, 5:8], gamma * before[:, 5:8], rtol=1e-4, atol=1e-5)
    assert torch.equal(after[:, 5:8].argmax(dim=1), before[:, 5:8].argmax(dim=1))
    assert (after[:, 8:] == -torch.inf).all()


def test_aligned_rows_stay_as_they_are() -> None:
    head = head_of(5, 3, 9.0)
    align(head, 5)
    once = head.live_rows.clone()
    align(head, 5)
    assert torch.allclose(head.live_rows, once, rtol=1e-6)


def test_new_rows_of_zeros_are_left_alone() -> None:
    head = head_of(5, 3, 0.0)
    align(head, 5)
    assert (head.live_rows[5:] == 0).all()


def test_a_class_is_new_for_so_many_events() -> None:
    head = LinearHead(WIDTH, CPU)
    aligning = WeightAligning(100, head)
    head.extend(torch.randn(2, WIDTH + 1))
    aligning.grow(0)
    head.extend(9 * torch.randn(2, WIDTH + 1))
    aligning.grow(100)
    aligning.apply(199)
    assert mean_length(head.live_rows[2:]) == pytest.approx(mean_length(head.live_rows[:2]), rel=1e-5)
    head.live_rows[2:] *= 5
    grown = head.live_rows.clone()
    aligning.apply(200)
    assert torch.equal(head.live_rows, grown)


def test_without_old_classes_there_is_nothing_to_align_to() -> None:
    head = LinearHead(WIDTH, CPU)
    aligning = WeightAligning(100, head)
    head.extend(torch.randn(3, WIDTH + 1))
    rows = head.live_rows.clone()
    aligning.grow(0)
    aligning.apply(50)
    assert torch.equal(head.live_rows, rows)


def test_what_is_asleep_stays_so_however_often_others_are_aligned() -> None:
    head = head_of(5, 3, 1.0)
    head.put_to_sleep(6)
    for _ in range(200):
        head.live_rows[[5, 7]] *= 1.2
        align(head, 5)
    assert float(head.rows[6, WIDTH]) == ASLEEP
    assert mean_length(head.live_rows[[5, 7]]) == pytest.approx(mean_length(head.live_rows[:5]), rel=1e-5)
