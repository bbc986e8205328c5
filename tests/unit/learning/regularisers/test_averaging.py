"""The average of the weights over steps: warm-up, and head rows that count their own steps."""

import pytest
import torch

from penstock.learning.regularisers.averaging import AveragedWeights
from small_networks import network_of

DECAY = 0.9


def averaged(path: list[torch.Tensor], decay: float = DECAY) -> torch.Tensor:
    """Straight from the formula: the first of `path` is where it begins, the others are the weights after steps."""
    average = path[0].clone()
    for step, weights in enumerate(path[1:]):
        kept = min(decay, (1 + step) / (10 + step))
        average = kept * average + (1 - kept) * weights
    return average


def test_the_average_is_that_of_the_formula_and_late_rows_count_from_their_birth() -> None:
    network = network_of(2)
    averaging = AveragedWeights(DECAY, network.backbone, network.head)
    weight = next(network.backbone.parameters())
    paths = [[weight.detach().clone()], [network.head.live_rows[0].clone()], []]
    with torch.no_grad():
        for step in range(150):
            if step == 90:
                network.head.extend(torch.randn(20, network.head.width + 1))
                averaging.grow()
                paths[2].append(network.head.live_rows[5].clone())
            for parameter in network.backbone.parameters():
                parameter.add_(0.1 * torch.randn(parameter.shape))
            network.head.live_rows[:] += 0.1 * torch.randn(network.head.live_rows.shape)
            averaging.follow()
            now = (weight.detach(), network.head.live_rows[0], network.head.live_rows[-1 if step < 90 else 5])
            for path, tensor in zip(paths[: 2 if step < 90 else 3], now, strict=False):
                path.append(tensor.clone())
    found = (next(averaging.backbone.parameters()), averaging.head.live_rows[0], averaging.head.live_rows[5])
    for tensor, path in zip(found, paths, strict=True):
        assert torch.allclose(tensor, averaged(path), atol=1e-5)
    assert averaging.head.num_live == 22
    assert (averaging.head.rows[22:, -1] == -torch.inf).all()


def test_warm_up_forgets_the_first_weights_at_once() -> None:
    """Ten steps in, 1.1e-6 of the initial weights is left; with a decay of .999 from the start it would be .99."""
    network = network_of(2)
    averaging = AveragedWeights(0.999, network.backbone, network.head)
    with torch.no_grad():
        for parameter in network.backbone.parameters():
            parameter.fill_(1.0)
        before = next(averaging.backbone.parameters()).clone()
        for _ in range(10):
            averaging.follow()
    left = (1 - next(averaging.backbone.parameters())) / (1 - before)
    assert float(left.abs().max()) < 1e-4


def test_what_is_no_parameter_is_as_in_the_trained_model() -> None:
    network = network_of(2, kind="backbone_factories:with_dropout")
    averaging = AveragedWeights(DECAY, network.backbone, network.head)
    network.backbone.train()(torch.randn(8, 4), torch.zeros(8, 0, dtype=torch.int32))
    averaging.catch_up()
    ours, theirs = dict(averaging.backbone.named_buffers()), dict(network.backbone.named_buffers())
    assert ours
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


@pytest.mark.parametrize("steps", [0, 3, 40])
def test_a_loaded_average_goes_on_to_the_bit(steps: int) -> None:
    torch.manual_seed(0)
    network = network_of(3)
    averaging = AveragedWeights(DECAY, network.backbone, network.head)
    with torch.no_grad():
        for _ in range(steps):
            network.head.live_rows[:] += torch.randn(3, network.head.width + 1)
            averaging.follow()
        loaded = AveragedWeights(DECAY, network.backbone, network.head)
        loaded.load({name: tensor.numpy().copy() for name, tensor in averaging.state().items()})
        for _ in range(5):
            network.head.live_rows[:] += torch.randn(3, network.head.width + 1)
            averaging.follow()
            loaded.follow()
    assert all(torch.equal(tensor, loaded.state()[name]) for name, tensor in averaging.state().items())
