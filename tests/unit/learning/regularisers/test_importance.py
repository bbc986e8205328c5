"""A row's weight as an amount of learning: invariant, never past the label, least where nothing is to learn."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import solve_ivp

from penstock.learning.head import LinearHead
from penstock.learning.regularisers.importance import ImportanceAwareStep, flowed

CPU = torch.device("cpu")

logits_and_label = st.lists(st.floats(-30, 30), min_size=2, max_size=12).flatmap(
    lambda logits: st.tuples(st.just(np.array(logits)), st.integers(0, len(logits) - 1))
)
amounts = st.floats(1e-9, 1e9)


def softmax(logits: np.ndarray) -> np.ndarray:
    exponentials = np.exp(logits - logits.max())
    chances: np.ndarray = exponentials / exponentials.sum()
    return chances


@given(case=logits_and_label, amount=amounts, share=st.floats(0.01, 0.99))
def test_a_weight_and_then_another_is_both_at_once(case: tuple[np.ndarray, int], amount: float, share: float) -> None:
    logits, label = case
    at_once = flowed(logits, label, amount)
    in_two = flowed(flowed(logits, label, amount * share), label, amount * (1 - share))
    assert np.allclose(in_two, at_once, rtol=1e-9, atol=1e-9)


@given(case=logits_and_label, amount=amounts)
def test_no_weight_goes_past_the_label(case: tuple[np.ndarray, int], amount: float) -> None:
    """The label's logit rises and all others fall, and of their chance m at least m / (1 + 2·m·amount) is left.

    dm/dt = −p(m² + Σ p_c²) ≥ −2m² along the flow.
    """
    logits, label = case
    moved = flowed(logits, label, amount)
    others = np.arange(len(logits)) != label
    assert np.isfinite(moved).all()
    assert moved[label] >= logits[label]
    assert (moved[others] <= logits[others]).all()
    assert moved.sum() == pytest.approx(logits.sum(), rel=1e-9, abs=1e-6)
    before, after = softmax(logits), softmax(moved)
    assert after[label] >= before[label] * (1 - 1e-12)
    missing = before[others].sum()
    assert after[others].sum() >= missing / (1 + 2 * missing * amount) * (1 - 1e-6)
    assert moved[label] - logits[label] <= amount * missing * (1 + 1e-6) + 1e-9


@pytest.mark.parametrize("num_classes", [2, 3, 10, 300])
@pytest.mark.parametrize("amount", [1e-3, 0.5, 20.0, 400.0])
def test_it_is_the_flow_along_the_gradient(num_classes: int, amount: float) -> None:
    generator = np.random.default_rng(num_classes)
    for scale in (0.3, 4.0):
        logits, label = scale * generator.normal(size=num_classes), int(generator.integers(num_classes))
        one_hot = np.eye(num_classes)[label]
        flow = solve_ivp(
            lambda _, z, y=one_hot: y - softmax(z), (0, amount), logits, method="LSODA", rtol=1e-10, atol=1e-11
        )
        assert np.allclose(flowed(logits, label, amount), flow.y[:, -1], rtol=1e-7, atol=1e-6)


def test_a_small_weight_moves_along_the_gradient_and_a_sure_row_hardly_moves() -> None:
    logits = np.array([1.0, -0.5, 0.2])
    step = (flowed(logits, 1, 1e-6) - logits) / 1e-6
    assert np.allclose(step, np.eye(3)[1] - softmax(logits), atol=1e-5)
    confused = flowed(np.array([4.0, 0.0]), 1, 1.0)[1]
    sure = flowed(np.array([0.0, 4.0]), 1, 1.0)[1] - 4
    assert confused > 0.9
    assert sure < 0.02


def head_of(num_classes: int) -> LinearHead:
    head = LinearHead(5, CPU)
    head.extend(torch.randn(num_classes, 6, generator=torch.Generator().manual_seed(1)))
    return head


def test_a_row_of_weight_w_is_w_rows() -> None:
    features, others = torch.randn(1, 5), torch.randn(3, 5)
    one, many = head_of(4), head_of(4)
    labels = np.array([2, 0, 1])
    for head, rows, classes, weights in (
        (one, torch.cat((others, features)), [*labels, 3], [1.0, 1.0, 2.0, 7.0]),
        (many, torch.cat((others, others[2:], features.expand(7, 5))), [*labels, 1, *[3] * 7], [1.0] * 11),
    ):
        step = ImportanceAwareStep(0.3, head)
        step.apply(rows, np.array(classes), np.array(weights, dtype=np.float32))
    assert torch.allclose(one.live_rows, many.live_rows, atol=1e-5)


def test_rows_of_a_batch_are_learnt_one_after_the_other() -> None:
    rows, labels = torch.randn(8, 5), np.array([0, 1, 2, 3, 0, 1, 1, 1])
    together, apart = head_of(4), head_of(4)
    weights = np.linspace(0.5, 4, 8).astype(np.float32)
    ImportanceAwareStep(0.5, together).apply(rows, labels, weights)
    for row in range(8):
        place = slice(row, row + 1)
        ImportanceAwareStep(0.5, apart).apply(rows[place], labels[place], weights[place])
    assert torch.allclose(together.live_rows, apart.live_rows, atol=1e-5)


def test_an_enormous_weight_only_makes_the_label_sure() -> None:
    head, row = head_of(4), torch.randn(1, 5)
    ImportanceAwareStep(1.0, head).apply(row, np.array([2]), np.array([1e9], dtype=np.float32))
    logits = head.logits(row)[:, :4]
    assert torch.isfinite(head.live_rows).all()
    assert float(torch.softmax(logits, dim=1)[0, 2]) > 0.999
    assert logits.abs().max() < 50


def test_a_diverged_model_is_left_to_the_loss() -> None:
    head = head_of(3)
    head.live_rows[1, 0] = torch.inf
    row = torch.ones(1, 5)
    ImportanceAwareStep(1.0, head).apply(row, np.array([2]), np.ones(1, dtype=np.float32))
    assert float(head.live_rows[1, 0]) == torch.inf


def test_one_class_alone_has_nothing_to_learn() -> None:
    head = head_of(1)
    before = head.live_rows.clone()
    ImportanceAwareStep(1.0, head).apply(torch.randn(2, 5), np.zeros(2, dtype=np.int64), np.ones(2, dtype=np.float32))
    assert torch.equal(head.live_rows, before)
