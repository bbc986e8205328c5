"""DER++: replayed rows are held to the logits that they had when they were put away."""

import pytest
import torch

from penstock.learning.head import ASLEEP
from penstock.learning.regularisers.dark_experience import DarkExperience
from penstock.learning.regularisers.remembered import (
    NO_COLUMN,
    NUM_LOGITS,
    RememberedLogits,
    largest,
    nothing_remembered,
)
from penstock.learning.regularisers.step import Step
from small_networks import rows_of

CPU = torch.device("cpu")


def step_of(remembered: RememberedLogits | None, num_rows: int, num_fresh: int) -> Step:
    shares = torch.rand(num_rows, 1)
    return Step(
        classes=torch.zeros(num_rows, 1, dtype=torch.int64),
        shares=shares / shares.sum(),
        num_fresh=num_fresh,
        remembered=remembered,
    )


def added(weight: float, logits: torch.Tensor, step: Step) -> torch.Tensor:
    gradients = torch.zeros_like(logits)
    DarkExperience(weight).adjust(gradients, logits, step)
    return gradients


@pytest.mark.parametrize("num_classes", [1, 3, 8, 20])
def test_nothing_is_lost_right_after_a_row_was_put_away(num_classes: int) -> None:
    logits = torch.randn(9, num_classes)
    assert (added(2.0, logits, step_of(largest(logits[4:]), 9, 4)) == 0).all()


@pytest.mark.parametrize("num_classes", [3, 20])
def test_the_gradient_is_that_of_the_mean_squared_difference(num_classes: int) -> None:
    then, now = torch.randn(5, num_classes), torch.randn(9, num_classes, requires_grad=True)
    step = step_of(largest(then), 9, 4)
    count = min(NUM_LOGITS, num_classes)
    top = then.topk(count, dim=1)
    loss = 0.7 * (step.shares[4:, 0] * (now[4:].gather(1, top.indices) - top.values).square().mean(dim=1)).sum()
    (expected,) = torch.autograd.grad(loss, now)
    assert torch.allclose(added(0.7, now.detach(), step), expected, rtol=1e-5, atol=1e-7)


def test_only_columns_that_existed_then_are_compared() -> None:
    remembered = largest(torch.randn(5, 3))
    logits = torch.cat((torch.randn(5, 7), torch.full((5, 2), -torch.inf)), dim=1)
    gradients = added(1.0, logits, step_of(remembered, 5, 0))
    assert (gradients[:, 3:] == 0).all()
    assert (gradients[:, :3] != 0).all()


def test_fresh_rows_and_rows_of_which_nothing_is_remembered_are_left_alone() -> None:
    logits = torch.randn(6, 4)
    assert (added(1.0, logits, step_of(nothing_remembered(3, CPU), 6, 3)) == 0).all()
    assert (added(1.0, logits, step_of(None, 6, 3)) == 0).all()
    assert (added(1.0, logits, step_of(largest(torch.randn(3, 4)), 6, 3))[:3] == 0).all()
    assert (added(1.0, logits, step_of(None, 6, 6)) == 0).all()


def test_rows_are_taken_and_put_by_place() -> None:
    one, other = largest(torch.randn(5, 20)), nothing_remembered(5, CPU)
    places = torch.tensor([3, 0])
    other.put(places, one.at(places))
    assert torch.equal(other.values[places], one.values[places])
    assert torch.equal(other.columns[places], one.columns[places])
    assert (other.columns[[1, 2, 4]] == -1).all()


def test_every_step_of_a_run_sees_what_is_remembered_of_its_own_rows() -> None:
    remembered = largest(torch.randn(2 * 8, 3))
    rows = rows_of(20, [0, 1], num_fresh=12, num_steps=2, remembered=remembered)
    for place in (0, 1):
        found = rows.step(place).remembered
        assert found is not None
        assert torch.equal(found.values, remembered.values[8 * place : 8 * place + 8])
        assert torch.equal(found.columns, remembered.columns[8 * place : 8 * place + 8])


def test_nothing_is_remembered_of_a_class_that_is_asleep() -> None:
    remembered = largest(torch.tensor([[2.0, ASLEEP + 5.0, 1.0]]))
    assert remembered.columns[0, :3].tolist() == [0, 2, NO_COLUMN]
    assert remembered.values[0, :3].tolist() == [2.0, 1.0, 0.0]
