"""ER-ACE: a burst of new classes pushes no old class away."""

import torch
from torch.nn.functional import cross_entropy

from penstock.learning.regularisers.asymmetric import AsymmetricLoss
from penstock.learning.regularisers.step import Step
from small_networks import plain_gradient

LIVE, CAPACITY, NUM_FRESH, NUM_ROWS = 6, 16, 5, 9


def adjusted(fresh: list[int], drawn: list[int]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, Step]:
    """Logits, gradient before and after, and the step."""
    logits = torch.full((len(fresh) + len(drawn), CAPACITY), -torch.inf)
    logits[:, :LIVE] = 3 * torch.randn(len(logits), LIVE)
    classes = torch.tensor(fresh + drawn)[:, None]
    shares = torch.rand(len(logits), 1)
    step = Step(classes=classes, shares=shares / shares.sum(), num_fresh=len(fresh))
    before = plain_gradient(logits, classes, step.shares)
    after = before.clone()
    AsymmetricLoss().adjust(after, logits, step)
    return logits, before, after, step


def test_no_gradient_of_a_fresh_row_reaches_a_class_that_is_absent() -> None:
    _, before, after, _ = adjusted([4, 5, 5, 4, 5], [0, 1, 2, 3])
    absent = [0, 1, 2, 3, *range(LIVE, CAPACITY)]
    assert (before[:NUM_FRESH, :4] > 0).all()
    assert (after[:NUM_FRESH, absent] == 0).all()


def test_fresh_rows_are_told_apart_among_the_classes_of_fresh_rows() -> None:
    logits, _, after, step = adjusted([1, 4, 2, 2, 1], [0, 3, 5, 1])
    among = logits[:NUM_FRESH, [1, 2, 4]].requires_grad_()
    labels = torch.tensor([0, 2, 1, 1, 0])
    loss = (cross_entropy(among, labels, reduction="none") * step.shares[:NUM_FRESH, 0]).sum()
    (expected,) = torch.autograd.grad(loss, among)
    assert torch.allclose(after[:NUM_FRESH, [1, 2, 4]], expected, atol=1e-7)


def test_drawn_rows_are_told_apart_from_all() -> None:
    _, before, after, _ = adjusted([4, 5, 5, 4, 5], [0, 1, 2, 3])
    assert torch.equal(after[NUM_FRESH:], before[NUM_FRESH:])


def test_with_every_class_present_nothing_changes() -> None:
    _, before, after, _ = adjusted([0, 1, 2, 3, 4, 5], [0, 1])
    assert torch.equal(after, before)


def test_a_step_without_fresh_rows_is_left_alone() -> None:
    _, before, after, _ = adjusted([], [0, 1, 2])
    assert torch.equal(after, before)
