"""Online EWC: its Fisher information is the exact one, and its anchors pull by it."""

import pytest
import torch

from penstock.learning.adam import HEAD
from penstock.learning.network import Network
from penstock.learning.regularisers.elastic import FADING, ElasticConsolidation
from penstock.learning.regularisers.fisher import MOST_CLASSES, squared_gradients
from penstock.learning.regularisers.trained import TrainedWeights
from small_networks import network_of, rows_of


def trained(network: Network) -> TrainedWeights:
    sparse = {id(parameter) for parameter in network.backbone.row_sparse_parameters()}
    return TrainedWeights({n: p for n, p in network.backbone.named_parameters() if id(p) not in sparse}, network.head)


def exact_fisher(network: Network, rows: torch.Tensor, tokens: torch.Tensor) -> dict[str, torch.Tensor]:
    """Σ over rows of Σ_c p_c (∂ ln p_c / ∂w)², one backward pass for each row and class."""
    live = network.head.live_rows.clone().requires_grad_()
    named = {**dict(network.backbone.named_parameters()), HEAD: live}
    total = {name: torch.zeros_like(tensor) for name, tensor in named.items()}
    for row, words in zip(rows, tokens, strict=True):
        features = network.backbone(row[None], words[None])
        log_p = torch.log_softmax(features @ live[:, :-1].t() + live[:, -1], dim=1)[0]
        for of_class in log_p:
            found = torch.autograd.grad(of_class, list(named.values()), retain_graph=True, allow_unused=True)
            for name, gradient in zip(named, found, strict=True):
                if gradient is not None:
                    total[name] += of_class.exp().detach() * gradient.to_dense().square()
    return total


def found_fisher(network: Network, rows: torch.Tensor, tokens: torch.Tensor) -> dict[str, torch.Tensor]:
    with torch.no_grad():
        features = network.backbone.forward_to_learn(rows, tokens)
        logits = network.head.logits(features)
        weights = torch.ones(len(rows), 1)
        return squared_gradients(network.backbone, network.head, features, logits, weights)


@pytest.mark.parametrize("num_classes", [2, 5, 30])
def test_of_softmax_regression_it_is_the_exact_fisher_information(num_classes: int) -> None:
    network = network_of(num_classes, hidden=())
    rows = rows_of(20, [0])
    found = found_fisher(network, rows.dense[0], rows.tokens[0])
    exact = exact_fisher(network, rows.dense[0], rows.tokens[0])
    assert found.keys() == exact.keys() == {HEAD}
    assert torch.allclose(found[HEAD], exact[HEAD], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("kind", ["mlp", "text", "backbone_factories:two_layers"])
@pytest.mark.parametrize("num_classes", [2, MOST_CLASSES])
def test_below_the_head_it_is_exact_up_to_eight_classes(kind: str, num_classes: int) -> None:
    network = network_of(num_classes, kind=kind)
    rows = rows_of(6, [0])
    found = found_fisher(network, rows.dense[0], rows.tokens[0])
    exact = exact_fisher(network, rows.dense[0], rows.tokens[0])
    assert found.keys() == exact.keys() - {"table.weight"}
    for name, tensor in found.items():
        assert torch.allclose(tensor, exact[name], rtol=1e-3, atol=1e-5), name


def test_of_many_classes_it_is_too_small_below_the_head_by_the_chances_left_out() -> None:
    network = network_of(20)
    rows = rows_of(6, [0])
    found = found_fisher(network, rows.dense[0], rows.tokens[0])
    exact = exact_fisher(network, rows.dense[0], rows.tokens[0])
    for name, tensor in found.items():
        assert (tensor <= exact[name] * (1 + 1e-4) + 1e-6).all()
    assert torch.allclose(found[HEAD], exact[HEAD], rtol=1e-3, atol=1e-5)


def observe(ewc: ElasticConsolidation, network: Network, num_rows: int, seed: int = 0) -> None:
    rows = rows_of(num_rows, [0], seed=seed)
    with torch.no_grad():
        features = network.backbone.forward_to_learn(rows.dense[0], rows.tokens[0])
        ewc.observe(features, network.head.logits(features), torch.full((num_rows, 1), 1 / num_rows))


def test_importance_is_the_mean_fisher_of_the_rows_since_and_the_old_one_fades() -> None:
    network = network_of(3, hidden=())
    ewc = ElasticConsolidation(1.0, trained(network), network.backbone, network.head)
    expected = torch.zeros(3, 5)
    for seed in range(3):
        rows = [rows_of(count, [0], seed=10 * seed + count) for count in (4, 9)]
        for count in (4, 9):
            observe(ewc, network, count, seed=10 * seed + count)
        ewc.consolidate()
        fishers = [exact_fisher(network, one.dense[0], one.tokens[0])[HEAD] for one in rows]
        expected = (fishers[0] + fishers[1]) / 13 + FADING * expected
    assert torch.allclose(ewc.importance[HEAD], expected, rtol=1e-4, atol=1e-6)


def test_the_pull_is_strength_times_importance_times_distance_and_new_rows_are_free() -> None:
    network = network_of(3)
    ewc = ElasticConsolidation(0.5, trained(network), network.backbone, network.head)
    observe(ewc, network, 10)
    ewc.consolidate()
    anchors = {name: values.clone() for name, values in trained(network).values()}
    network.head.extend(torch.randn(20, network.head.width + 1))
    with torch.no_grad():
        network.head.live_rows[:] += torch.randn(network.head.live_rows.shape)
        for parameter in network.backbone.parameters():
            parameter.add_(torch.randn(parameter.shape))
            parameter.grad = torch.zeros_like(parameter)
    network.head.row_gradients.zero_()
    ewc.before_update()
    for name, values, gradient in trained(network).gradients():
        k = len(anchors[name])
        expected = 0.5 * ewc.importance[name] * (values[:k] - anchors[name])
        assert torch.allclose(gradient[:k], expected, rtol=1e-5, atol=1e-7)
        assert (gradient[k:] == 0).all()


def test_nothing_pulls_before_the_first_anchor_nor_right_after_one() -> None:
    network = network_of(3)
    ewc = ElasticConsolidation(5.0, trained(network), network.backbone, network.head)
    observe(ewc, network, 10)
    network.head.row_gradients.zero_()
    ewc.before_update()
    assert (network.head.row_gradients == 0).all()
    ewc.consolidate()
    ewc.before_update()
    assert (network.head.row_gradients == 0).all()
