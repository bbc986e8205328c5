"""Each part of the model learns at its own rate, or keeps still until its time."""

import pytest
import torch

from penstock.errors import ConfigurationError
from penstock.learning.blocks import parts_of
from penstock.learning.descent import Descent
from penstock.learning.network import Network
from penstock.learning.rates import LearningRates
from small_networks import network_of, rows_of

RATE = 0.01


def weights_of(network: Network) -> dict[str, torch.Tensor]:
    found = {name: parameter.detach().clone() for name, parameter in network.backbone.named_parameters()}
    return found | {"head": network.head.live_rows.clone()}


def moved(network: Network, descent: Descent, num_steps: int = 1) -> dict[str, float]:
    """The largest change of a weight by tensor."""
    before = weights_of(network)
    descent.run(rows_of(20, [0, 1, 2], num_steps=num_steps))
    return {name: float((tensor - before[name]).abs().max()) for name, tensor in weights_of(network).items()}


def test_the_last_layer_is_a_block_and_the_others_are_lower() -> None:
    parts = parts_of(network_of(2, hidden=(6, 5, 4)).backbone)
    assert {name for name, part in parts.items() if part == "last_block"} == {"layers.4.weight", "layers.4.bias"}
    assert set(parts.values()) == {"last_block", "lower"}


def test_the_blocks_of_a_module_are_its_outermost_children_with_parameters() -> None:
    text = parts_of(network_of(2, kind="text").backbone)
    assert text["table.weight"] == "lower"
    assert {part for name, part in text.items() if name != "table.weight"} == {"last_block"}
    own = parts_of(network_of(2, kind="backbone_factories:with_dropout").backbone)
    assert {name for name, part in own.items() if part == "last_block"} == {"module.4.weight", "module.4.bias"}
    assert set(parts_of(network_of(2, hidden=(5,)).backbone).values()) == {"last_block"}
    assert parts_of(network_of(2, hidden=()).backbone) == {}


@pytest.mark.parametrize("kind", ["mlp", "text"])
def test_first_updates_are_as_large_as_the_rate_of_their_part(kind: str) -> None:
    network = network_of(3, kind=kind, hidden=(6, 5))
    found = moved(network, Descent(network, RATE, LearningRates(head=1.0, last_block=0.3, lower=0.1)))
    lower = "layers.0.weight" if kind == "mlp" else "table.weight"
    assert found["head"] == pytest.approx(RATE, rel=1e-3)
    assert found["layers.2.weight"] == pytest.approx(0.3 * RATE, rel=1e-3)
    assert found[lower] == pytest.approx(0.1 * RATE, rel=1e-3)


def test_equal_rates_are_one_rate_to_the_bit() -> None:
    one, other = network_of(3), network_of(3)
    Descent(one, RATE).run(rows_of(20, [0, 1, 2], num_steps=5))
    Descent(other, 2 * RATE, LearningRates(head=0.5, last_block=0.5, lower=0.5)).run(
        rows_of(20, [0, 1, 2], num_steps=5)
    )
    assert all(torch.equal(tensor, weights_of(other)[name]) for name, tensor in weights_of(one).items())


@pytest.mark.parametrize("kind", ["mlp", "text", "backbone_factories:with_dropout"])
def test_frozen_parts_keep_still_until_so_many_events_are_learnt(kind: str) -> None:
    network = network_of(3, kind=kind)
    rates = LearningRates(frozen=("last_block", "lower"), unfreeze_after_events=100)
    descent = Descent(network, RATE, rates)
    for events in (0, 50, 99):
        descent.at_event(events)
        found = moved(network, descent, 3)
        assert found.pop("head") > 0
        assert set(found.values()) == {0.0}
    descent.at_event(100)
    assert min(moved(network, descent, 3).values()) > 0


def test_a_frozen_head_keeps_still_while_the_backbone_learns() -> None:
    network = network_of(3)
    descent = Descent(network, RATE, LearningRates(frozen=("head",)))
    found = moved(network, descent)
    assert found.pop("head") == 0
    assert min(found.values()) > 0


def test_a_part_thaws_with_a_young_adam() -> None:
    """Its first update is one step of its rate, however long it was frozen."""
    network = network_of(3)
    descent = Descent(network, RATE, LearningRates(frozen=("lower",), unfreeze_after_events=10))
    descent.run(rows_of(20, [0, 1, 2], num_steps=50))
    descent.at_event(10)
    assert moved(network, descent)["layers.0.weight"] == pytest.approx(RATE, rel=1e-3)


def test_what_is_frozen_has_no_moments_to_be_kept() -> None:
    network = network_of(3)
    descent = Descent(network, RATE, LearningRates(frozen=("lower",), unfreeze_after_events=10))
    descent.run(rows_of(20, [0, 1, 2], num_steps=3))
    assert not [name for name in descent.state() if "layers.0" in name]
    descent.at_event(10)
    descent.run(rows_of(20, [0, 1, 2], num_steps=3))
    assert {name.split(".")[1] for name in descent.state() if "layers.0" in name} == {"first", "second", "steps"}


@pytest.mark.parametrize("events", [0, 10])
def test_a_descent_loaded_before_or_after_the_thaw_goes_on_to_the_bit(events: int) -> None:
    rates = LearningRates(frozen=("lower",), unfreeze_after_events=10)
    network = network_of(3)
    descent = Descent(network, RATE, rates)
    descent.at_event(events)
    descent.run(rows_of(20, [0, 1, 2], num_steps=3))
    twin = network_of(0)
    twin.load({name: tensor.detach().numpy().copy() for name, tensor in network.tensors().items()}, num_classes=3)
    loaded = Descent(twin, RATE, rates)
    loaded.load({name: tensor.detach().numpy().copy() for name, tensor in descent.state().items()})
    for one in (descent, loaded):
        one.at_event(events + 5)
        one.run(rows_of(20, [0, 1, 2], num_steps=3, seed=1))
        one.at_event(events + 12)
        one.run(rows_of(20, [0, 1, 2], num_steps=3, seed=2))
    assert all(torch.equal(tensor, weights_of(twin)[name]) for name, tensor in weights_of(network).items())


@pytest.mark.parametrize(
    ("key", "value", "sentence"),
    [
        ("head", 0.0, "training.learning_rates.head is 0.0; it must be above 0"),
        ("lower", float("nan"), "training.learning_rates.lower is nan; it must be above 0"),
        ("unfreeze_after_events", -1, "training.learning_rates.unfreeze_after_events is -1; it must be 0 or more"),
    ],
)
def test_a_rate_that_makes_no_sense_is_refused(key: str, value: float, sentence: str) -> None:
    with pytest.raises(ConfigurationError, match=sentence):
        LearningRates(**{key: value})  # type: ignore[arg-type]  # a key by name
