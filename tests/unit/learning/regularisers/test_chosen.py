"""Options in a descent: off they change nothing, on they go on after a load to the bit."""

import pytest
import torch

from penstock.errors import ConfigurationError
from penstock.learning.descent import Descent, StepRows
from penstock.learning.network import Network
from penstock.learning.rates import LearningRates
from penstock.learning.regularisers.config import TrainingOptions
from penstock.learning.regularisers.remembered import largest
from small_networks import network_of, rows_of

RATE = 0.01
SINGLE = {
    "der": TrainingOptions(der_weight=0.5),
    "er_ace": TrainingOptions(er_ace=True),
    "aligning": TrainingOptions(weight_aligning_events=40),
    "ema": TrainingOptions(ema_decay=0.9),
    "ewc": TrainingOptions(ewc_strength=3.0),
    "ewc, periodic": TrainingOptions(ewc_strength=3.0, anchor_events=25),
    "si": TrainingOptions(si_strength=3.0),
    "lwf": TrainingOptions(lwf_weight=1.0),
    "importance": TrainingOptions(importance_rate=0.3),
}
ALL = TrainingOptions(
    der_weight=0.5,
    er_ace=True,
    weight_aligning_events=40,
    ema_decay=0.9,
    ewc_strength=3.0,
    si_strength=3.0,
    lwf_weight=1.0,
    importance_rate=0.3,
    anchor_events=30,
)
EVERY = SINGLE | {"all": ALL}
KINDS = ["mlp", "text", "backbone_factories:two_layers"]


def lesson(number: int, network: Network) -> StepRows:
    """Fresh rows of the newest classes and of old ones, and drawn rows that something is remembered of."""
    num_classes = network.head.num_live
    newest = list(range(max(0, num_classes - 2), num_classes))
    remembered = largest(torch.randn(2 * 8, num_classes, generator=torch.Generator().manual_seed(number)))
    return rows_of(20, newest, num_fresh=12, num_steps=2, seed=number, remembered=remembered)


def teach(network: Network, descent: Descent, first: int, last: int) -> None:
    """Lessons of 10 events each, a class born before every third."""
    for number in range(first, last):
        descent.at_event(10 * number)
        if number % 3 == 0:
            descent.before_growth()
            generator = torch.Generator().manual_seed(number)
            network.head.extend(torch.randn(1, network.head.width + 1, generator=generator))
        descent.run(lesson(number, network))


def tensors(network: Network, descent: Descent) -> dict[str, torch.Tensor]:
    served = {f"served.{name}": tensor for name, tensor in descent.served.tensors().items()}
    every = {**network.tensors(), **served, **{f"state.{name}": t for name, t in descent.state().items()}}
    return {name: tensor.detach().clone() for name, tensor in every.items()}


def copied(network: Network, descent: Descent, kind: str, options: TrainingOptions) -> tuple[Network, Descent]:
    twin = network_of(0, kind=kind, seed=9)
    arrays = {name: tensor.detach().numpy().copy() for name, tensor in network.tensors().items()}
    twin.load(arrays, num_classes=network.head.num_live)
    loaded = Descent(twin, RATE, options=options)
    loaded.load({name: tensor.detach().numpy().copy() for name, tensor in descent.state().items()})
    return twin, loaded


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", EVERY)
@pytest.mark.parametrize("cut", [0, 5, 9])
def test_cut_anywhere_and_loaded_every_option_goes_on_to_the_bit(name: str, kind: str, cut: int) -> None:
    network = network_of(2, kind=kind)
    descent = Descent(network, RATE, options=EVERY[name])
    teach(network, descent, 0, cut)
    twin, loaded = copied(network, descent, kind, EVERY[name])
    for one, its in ((network, descent), (twin, loaded)):
        teach(one, its, cut, 12)
    ours, theirs = tensors(network, descent), tensors(twin, loaded)
    assert ours.keys() == theirs.keys()
    assert not [key for key, tensor in ours.items() if not torch.equal(tensor, theirs[key])]


@pytest.mark.parametrize("name", EVERY)
def test_an_option_that_is_on_changes_what_is_learnt_or_served(name: str) -> None:
    plain, other = network_of(2), network_of(2)
    descents = Descent(plain, RATE), Descent(other, RATE, options=EVERY[name])
    for network, descent in zip((plain, other), descents, strict=True):
        for number in range(60):
            descent.at_event(10 * number)
            if number in (0, 52):
                descent.before_growth()
                network.head.extend(torch.full((1, network.head.width + 1), 0.5))
            descent.run(lesson(number, network))
    served = [descent.served.tensors() for descent in descents]
    assert any(not torch.equal(tensor, served[1][name]) for name, tensor in served[0].items())
    assert all(torch.isfinite(tensor).all() for tensor in served[1].values())


@pytest.mark.parametrize("name", EVERY)
def test_an_option_that_is_switched_on_later_begins_with_the_model_as_it_stands(name: str) -> None:
    network = network_of(2)
    descent = Descent(network, RATE)
    teach(network, descent, 0, 5)
    twin, loaded = copied(network, descent, "mlp", EVERY[name])
    served = loaded.served.tensors()
    assert all(torch.equal(tensor, served[key]) for key, tensor in twin.tensors().items())
    teach(twin, loaded, 5, 10)
    assert all(torch.isfinite(tensor).all() for tensor in loaded.served.tensors().values())


@pytest.mark.parametrize("name", EVERY)
def test_an_option_that_is_switched_off_later_leaves_the_weights_as_they_are(name: str) -> None:
    network = network_of(2)
    descent = Descent(network, RATE, options=EVERY[name])
    teach(network, descent, 0, 5)
    twin, loaded = copied(network, descent, "mlp", TrainingOptions())
    teach(twin, loaded, 5, 8)
    assert not [key for key in loaded.state() if key.startswith("options.")]


def test_averaged_weights_are_what_is_served_and_not_what_is_trained() -> None:
    plain, other = network_of(2), network_of(2)
    descents = Descent(plain, RATE), Descent(other, RATE, options=TrainingOptions(ema_decay=0.99))
    for network, descent in zip((plain, other), descents, strict=True):
        teach(network, descent, 0, 6)
    assert descents[0].served is plain
    assert all(torch.equal(tensor, other.tensors()[name]) for name, tensor in plain.tensors().items())
    served = descents[1].served
    assert served.head.num_live == other.head.num_live
    assert not torch.equal(served.head.live_rows, other.head.live_rows)
    assert served.standardiser is other.standardiser


def test_classes_born_close_together_move_the_anchor_once() -> None:
    network = network_of(2)
    descent = Descent(network, RATE, options=TrainingOptions(ewc_strength=1.0))
    places = []
    for number in range(3):
        descent.at_event(600 + 10 * number)
        descent.run(lesson(number, network))
        descent.before_growth()
        places.append(descent.state()["options.ewc.anchors.places.head.rows"].clone())
    assert torch.equal(places[1], places[0])
    descent.at_event(1100)
    descent.before_growth()
    assert not torch.equal(descent.state()["options.ewc.anchors.places.head.rows"], places[0])


def test_options_go_with_frozen_parts() -> None:
    network = network_of(2)
    still = LearningRates(frozen=("last_block", "lower"), unfreeze_after_events=50)
    descent = Descent(network, RATE, still, ALL)
    before = {name: tensor.detach().clone() for name, tensor in network.backbone.named_parameters()}
    teach(network, descent, 0, 5)
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.backbone.named_parameters())
    teach(network, descent, 5, 8)
    assert not any(torch.equal(tensor, before[name]) for name, tensor in network.backbone.named_parameters())


@pytest.mark.parametrize(
    ("key", "value", "sentence"),
    [
        ("der_weight", -0.1, "training.options.der_weight is -0.1; it must be 0 or more"),
        ("si_strength", float("inf"), "training.options.si_strength is inf; it must be 0 or more"),
        ("ema_decay", 1.0, "training.options.ema_decay is 1.0; it must be at least 0 and below 1"),
        ("anchor_events", -5, "training.options.anchor_events is -5; it must be 0 or more"),
        ("anchor_events", 5, "anchor_events is 5, .* set ewc_strength, si_strength or lwf_weight as well, or leave"),
    ],
)
def test_an_option_that_makes_no_sense_is_refused(key: str, value: float, sentence: str) -> None:
    with pytest.raises(ConfigurationError, match=sentence):
        TrainingOptions(**{key: value})  # type: ignore[arg-type]  # a key by name


@pytest.mark.parametrize("user", ["ewc_strength", "si_strength", "lwf_weight"])
def test_an_anchor_is_taken_with_any_option_that_looks_at_it(user: str) -> None:
    assert TrainingOptions(**{user: 0.5, "anchor_events": 5}).anchor_events == 5  # type: ignore[arg-type]  # by name
