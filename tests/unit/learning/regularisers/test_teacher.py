"""LwF: fresh rows are held to what the model said at the last anchor."""

import pytest
import torch
from torch.nn.functional import kl_div, log_softmax

from penstock.learning.network import Network
from penstock.learning.regularisers.step import Step
from penstock.learning.regularisers.teacher import TEMPERATURE, Teacher
from small_networks import network_of, rows_of

ROUNDING = 1e-6
"""Of a difference of probabilities in float32, whatever the logits."""


def added(teacher: Teacher, network: Network, num_fresh: int = 6) -> torch.Tensor:
    """What the term adds to the gradient by logit for 10 rows, the first of them fresh."""
    rows = rows_of(10, [0])
    teacher.look_at(rows.dense[0, :num_fresh], rows.tokens[0, :num_fresh])
    with torch.no_grad():
        logits = network.logits(rows.dense[0], rows.tokens[0])
        gradients = torch.zeros_like(logits)
        step = Step(classes=rows.classes[0, :, None], shares=rows.shares[0, :, None], num_fresh=num_fresh)
        teacher.adjust(gradients, logits, step)
    return gradients


@pytest.mark.parametrize("kind", ["mlp", "text", "backbone_factories:with_dropout"])
def test_nothing_is_lost_at_the_start_nor_right_after_an_anchor(kind: str) -> None:
    network = network_of(3, kind=kind)
    teacher = Teacher(2.0, network.backbone, network.head)
    assert added(teacher, network).abs().max() < ROUNDING
    with torch.no_grad():
        for parameter in network.backbone.parameters():
            parameter.add_(torch.randn(parameter.shape))
    assert added(teacher, network).abs().max() > 1e-3
    teacher.consolidate()
    assert added(teacher, network).abs().max() < ROUNDING
    network.head.extend(torch.randn(2, network.head.width + 1))
    assert added(teacher, network).abs().max() < ROUNDING, "the teacher knows nothing of the new classes"


def test_the_gradient_is_that_of_the_softened_divergence_over_the_teachers_classes() -> None:
    network = network_of(3)
    teacher = Teacher(0.8, network.backbone, network.head)
    rows = rows_of(10, [0])
    then = network.logits(rows.dense[0], rows.tokens[0])[:6, :3].clone()
    network.head.live_rows[:] += torch.randn(3, network.head.width + 1)
    network.head.extend(torch.randn(2, network.head.width + 1))
    now = network.logits(rows.dense[0], rows.tokens[0])[:6, :5].clone().requires_grad_()
    divergences = kl_div(
        log_softmax(now[:, :3] / TEMPERATURE, dim=1),
        log_softmax(then / TEMPERATURE, dim=1),
        log_target=True,
        reduction="none",
    )
    loss = 0.8 * TEMPERATURE**2 * (divergences.sum(dim=1) / 10).sum()
    (expected,) = torch.autograd.grad(loss, now)
    found = added(teacher, network)
    assert torch.allclose(found[:6, :5], expected, atol=1e-6)
    assert (found[6:] == 0).all()


def test_a_teacher_without_classes_says_nothing() -> None:
    network = network_of(0)
    teacher = Teacher(1.0, network.backbone, network.head)
    network.head.extend(torch.randn(2, network.head.width + 1))
    assert (added(teacher, network) == 0).all()


def test_learning_does_not_move_the_teacher() -> None:
    network = network_of(3)
    teacher = Teacher(1.0, network.backbone, network.head)
    before = {name: tensor.clone() for name, tensor in teacher.state().items()}
    with torch.no_grad():
        for parameter in network.backbone.parameters():
            parameter.zero_()
    network.head.live_rows.zero_()
    assert all(torch.equal(tensor, before[name]) for name, tensor in teacher.state().items())
