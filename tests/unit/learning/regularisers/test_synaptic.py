"""SI: the path integral, and the pull that comes of it."""

import pytest
import torch

from penstock.learning.adam import HEAD
from penstock.learning.descent import Descent
from penstock.learning.regularisers.config import TrainingOptions
from penstock.learning.regularisers.synaptic import DAMPING, SynapticIntelligence
from penstock.learning.regularisers.trained import TrainedWeights
from small_networks import logits_of, network_of, plain_gradient, rows_of


def test_on_a_parabola_the_path_integral_is_the_loss_that_each_weight_has_saved() -> None:
    """½ Σ a_i w_i² descended in small steps: −∫ g dw = ½ a_i (w_i(0)² − w_i(T)²), and Ω = ω / (Δ² + ξ)."""
    network = network_of(3, hidden=())
    head, weights = network.head, TrainedWeights({}, network.head)
    si = SynapticIntelligence(1.0, weights)
    curvature, start, rate = torch.rand(3, 5) + 0.1, head.live_rows.clone(), 1e-3
    for _ in range(2000):
        head.row_gradients[:3] = curvature * head.live_rows
        si.before_update()
        head.live_rows[:] -= rate * head.row_gradients[:3]
        si.after_update()
    saved = 0.5 * curvature * (start.square() - head.live_rows.square())
    assert torch.allclose(si.paths[HEAD], saved, rtol=2e-3, atol=1e-5)
    moved = head.live_rows - start
    si.consolidate()
    assert torch.allclose(si.importance[HEAD], 2 * saved / (moved.square() + DAMPING), rtol=3e-3, atol=1e-4)


def test_on_a_network_the_paths_add_up_to_the_loss_that_was_saved() -> None:
    """Of smooth units: along a kink of ReLU even small steps cross it again and again."""
    network = network_of(3, kind="backbone_factories:two_layers", head_scale=0.3)
    weights = TrainedWeights(dict(network.backbone.named_parameters()), network.head)
    si = SynapticIntelligence(1.0, weights)
    rows = rows_of(30, [0, 1, 2])
    classes, shares = rows.classes[0, :, None], rows.shares[0, :, None]
    losses = []
    with torch.no_grad():
        for _ in range(1000):
            features = network.backbone.forward_to_learn(rows.dense[0], rows.tokens[0])
            logits = network.head.logits(features)
            losses.append(float(-(torch.log_softmax(logits, dim=1).gather(1, classes) * shares).sum()))
            network.backbone.backward(network.head.backward(features, plain_gradient(logits, classes, shares)))
            si.before_update()
            for _, values, gradient in weights.gradients():
                values -= 1e-2 * gradient
            si.after_update()
    assert losses[0] - losses[-1] > 0.05
    assert sum(float(path.sum()) for path in si.paths.values()) == pytest.approx(losses[0] - losses[-1], rel=0.01)


def test_importance_adds_up_over_anchors_and_rows_born_between_count_from_their_birth() -> None:
    network = network_of(2, hidden=())
    head = network.head
    si = SynapticIntelligence(1.0, TrainedWeights({}, head))

    def move(steps: int) -> torch.Tensor:
        path = torch.zeros(head.num_live, 5)
        for _ in range(steps):
            gradient = torch.randn(head.num_live, 5)
            head.row_gradients[: head.num_live] = gradient
            si.before_update()
            change = -0.01 * gradient
            head.live_rows[:] += change
            si.after_update()
            path -= gradient * change
        return path

    starts, first = head.live_rows.clone(), move(5)
    head.extend(torch.randn(20, 6 - 1))
    starts = torch.cat((starts, head.live_rows[2:]))
    second = move(5)
    second[:2] += first
    omega = second / ((head.live_rows - starts).square() + DAMPING)
    si.consolidate()
    assert torch.allclose(si.importance[HEAD], 2 * omega, rtol=1e-3)
    starts, third = head.live_rows.clone(), move(4)
    si.consolidate()
    omega += third / ((head.live_rows - starts).square() + DAMPING)
    assert torch.allclose(si.importance[HEAD], 2 * omega, rtol=1e-3)


def test_a_path_uphill_gives_no_importance() -> None:
    network = network_of(2, hidden=())
    si = SynapticIntelligence(1.0, TrainedWeights({}, network.head))
    network.head.row_gradients[:2] = 1.0
    si.before_update()
    network.head.live_rows[:] += 0.1
    si.after_update()
    si.consolidate()
    assert (si.importance[HEAD] == 0).all()


def test_what_was_anchored_moves_less() -> None:
    moved = []
    for strength in (0.0, 100.0):
        network = network_of(4)
        options = TrainingOptions(si_strength=strength, anchor_events=100 if strength else 0)
        descent = Descent(network, 0.01, options=options)
        for step in range(20):
            descent.at_event(step)
            descent.run(rows_of(30, [0, 1], num_steps=3, seed=step))
        descent.at_event(100)
        before = logits_of(network, rows_of(30, [0, 1])).detach()
        for step in range(20):
            descent.at_event(100 + step)
            descent.run(rows_of(30, [2, 3], num_steps=3, seed=100 + step))
        now = logits_of(network, rows_of(30, [0, 1])).detach()
        moved.append(float((now - before).abs().mean()))
    assert moved[1] < 0.7 * moved[0]
