"""The head grows without a change to what it says of old classes."""

import pytest
import torch

from penstock.learning.head import LinearHead, capacity_for

CPU = torch.device("cpu")


def head_of(width: int, classes: int, *, seed: int = 0) -> LinearHead:
    head = LinearHead(width, CPU)
    head.extend(torch.randn(classes, width + 1, generator=torch.Generator().manual_seed(seed)))
    return head


@pytest.mark.parametrize("width", [1, 8, 33, 64, 128, 129])
@pytest.mark.parametrize("classes", [15, 16, 31, 100, 512, 1024])
def test_growth_leaves_old_logits_the_same_to_the_bit(width: int, classes: int) -> None:
    head = head_of(width, classes)
    inputs = [torch.randn(rows, width) for rows in (1, 2, 3, 5, 17, 32, 96, 320)]
    before = [head.logits(features)[:, :classes] for features in inputs]
    capacity = head.capacity
    while head.capacity < 2 * capacity:
        head.imprint(torch.randn(1 + head.capacity // 3, width))
        for features, old in zip(inputs, before, strict=True):
            assert torch.equal(head.logits(features)[:, :classes], old)


def test_a_thousand_new_classes_at_once_leave_old_logits_the_same_to_the_bit() -> None:
    head = head_of(128, 10)
    features = torch.randn(64, 128)
    before = head.logits(features)[:, :10]
    head.imprint(torch.randn(1000, 128))
    assert head.capacity == 1024
    assert torch.equal(head.logits(features)[:, :10], before)


def test_the_capacity_is_a_power_of_two_of_at_least_sixteen() -> None:
    assert [capacity_for(classes) for classes in (0, 1, 16, 17, 32, 33, 1000)] == [16, 16, 16, 32, 32, 64, 1024]


def test_rows_past_the_live_ones_say_nothing_and_learn_nothing() -> None:
    head = head_of(4, 3)
    features = torch.randn(5, 4)
    logits = head.logits(features)
    assert (logits[:, 3:] == -torch.inf).all()
    probabilities = torch.softmax(logits, dim=1)
    assert (probabilities[:, 3:] == 0).all()
    head.backward(features, probabilities)
    assert (head.row_gradients[3:] == 0).all()


def test_gradients_are_those_of_autograd() -> None:
    head = head_of(6, 5)
    features = torch.randn(7, 6, requires_grad=True)
    rows = head.live_rows.clone().requires_grad_()
    (features @ rows[:, :6].t() + rows[:, 6]).pow(2).sum().backward()  # type: ignore[no-untyped-call]
    logits = head.logits(features.detach())
    gradients = torch.where(torch.isfinite(logits), 2 * logits, 0.0)
    assert torch.allclose(head.backward(features.detach(), gradients), _gradient(features), rtol=1e-4, atol=1e-5)
    assert torch.allclose(head.row_gradients[:5], _gradient(rows), rtol=1e-4, atol=1e-5)


def test_a_new_row_points_at_its_class_and_is_as_long_as_the_others() -> None:
    head = head_of(8, 4)
    mean = torch.randn(1, 8)
    norms = head.live_rows[:, :8].norm(dim=1)
    head.imprint(mean)
    row = head.live_rows[-1]
    assert row[:8].norm() == pytest.approx(float(norms.mean()), rel=1e-5)
    assert torch.cosine_similarity(row[:8], mean[0], dim=0) == pytest.approx(1, abs=1e-5)
    assert row[8] == pytest.approx(float(head.live_rows[:4, 8].mean()), rel=1e-5)


def test_the_first_rows_ever_have_length_one_and_no_bias() -> None:
    head = LinearHead(3, CPU)
    head.imprint(torch.tensor([[3.0, 0.0, 4.0], [0.0, 0.0, 0.0]]))
    assert head.live_rows.tolist() == [pytest.approx([0.6, 0, 0.8, 0]), [0, 0, 0, 0]]


def _gradient(tensor: torch.Tensor) -> torch.Tensor:
    assert tensor.grad is not None
    return tensor.grad
