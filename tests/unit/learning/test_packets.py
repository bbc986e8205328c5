"""A packet moves a class to another model with the same features, or is refused with a sentence."""

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from controlled_streams import Told, every, points, state_of
from labelled_rows import event_batch
from packet_cards import card_of, saying
from penstock.errors import InvalidEventError
from penstock.features import Feature
from penstock.flow import ClassRequest, Control, ImportRequest
from penstock.learning import class_packets
from penstock.learning.config import BackboneConfig, ModelConfig, TrainingConfig
from penstock.learning.heads.spread import Spread
from penstock.learning.learner import Learner
from penstock.learning.packet import Packet
from penstock.learning.packet_check import MOST_BYTES, packet_to_import
from penstock.replay.config import ReplayConfig


def learnt(*labels: int, stream: int = 1, name: str = "shop", **options: object) -> Told:
    told = Told(name=name, **options)  # type: ignore[arg-type]  # as `Told` takes them
    told.events(every(labels, 60), seed=stream)
    return told


@pytest.mark.parametrize("asleep", [False, True])
def test_in_another_model_it_is_answered_as_well_as_if_it_had_been_learnt_there(asleep: bool) -> None:
    origin, other = learnt(0, 1, 2, 3, name="origin"), learnt(2, 3, 4, 5, stream=2, name="other")
    if asleep:
        origin.classes("hibernate", "c0", "c1")
        origin.events(every([2, 3], 20), seed=3)
    for name in ("c0", "c1"):
        outcome = other.told(ImportRequest(packet=origin.learner.packet_of(name)))
        assert (outcome.result, outcome.classes) == ("applied", (name,))
        assert outcome.sentence == f"Class {name!r} taken in from the model 'origin', where it had 60 events."
    both = learnt(0, 1, 2, 3, 4, 5)
    assert other.accuracy(every([0, 1], 100)) >= both.accuracy(every([0, 1], 100)) - 0.05
    assert other.accuracy(every(range(2, 6), 50)) >= both.accuracy(every(range(2, 6), 50)) - 0.05
    other = other.restarted()
    other.events(every(range(6), 20), seed=4)
    assert other.accuracy(every(range(6), 50)) >= both.accuracy(every(range(6), 50)) - 0.05
    entry = other.learner._parts.ledger.entries[-2]
    assert (entry.name, entry.state, entry.born_offset) == ("c0", "live", "0:240")


def test_taken_in_it_can_sleep_and_wake_like_any_other() -> None:
    origin, other = learnt(0, 1, name="origin"), learnt(2, 3, 4, stream=2, name="other")
    assert other.told(ImportRequest(packet=origin.learner.packet_of("c0"), name="moved")).result == "applied"
    before = other.accuracy(every(range(2, 5), 50))
    other.classes("hibernate", "moved")
    other.events(every([2, 3, 4], 20), seed=3)
    assert other.classes("wake", "moved").result == "applied"
    named = other.answers([0] * 100).argmax(axis=1) == other.learner.class_names.index("moved")
    assert named.mean() > 0.7
    assert other.accuracy(every(range(2, 5), 50)) >= before - 0.05


def test_a_packet_is_read_as_it_was_written() -> None:
    content = learnt(0, 1).learner.packet_of("c0")
    packet = Packet.from_bytes(content)
    assert (packet.model, packet.class_name, packet.events) == ("shop", "c0", 60)
    assert packet.to_bytes() == content
    assert packet.scales["amount"] == pytest.approx((100.5, 5.0), rel=0.2)
    assert len(content) < 16_000


def test_names_make_files_that_every_disk_can_hold() -> None:
    packet = Packet.from_bytes(learnt(0, 1).learner.packet_of("c0"))
    strange = replace(packet, class_name="../ä\n" + "x" * 300)
    assert "/" not in strange.file_name
    assert len(strange.file_name.encode()) < 128
    assert strange.file_name != replace(strange, index=7).file_name


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (
            {"seed": 5},
            "holds sums of other fixed features: training.seed, the width of the inputs, model.head_inputs or the"
            " frozen backbone is another there.",
        ),
        ({"heads": ("linear", "instances")}, "model.heads has no 'analytic', which is what it is for."),
        ({"with_numbers": False}, "is of other features than model.features lists here."),
    ],
)
def test_another_models_features_are_refused(options: dict[str, object], sentence: str) -> None:
    origin, other = learnt(0, 1, name="origin"), learnt(2, 3, stream=2, name="other", **options)
    before = other.capture()[1].sha256
    outcome = other.told(ImportRequest(packet=origin.learner.packet_of("c0")))
    assert outcome.result == "refused"
    assert outcome.sentence.startswith("The packet of class 'c0' of the model 'origin' ")
    assert outcome.sentence.endswith(sentence)
    assert other.capture()[1].sha256 == before


def test_a_class_moves_to_where_inputs_are_scaled_otherwise() -> None:
    origin, other = learnt(0, 1, 2, 3, name="origin"), Told(name="other")
    other.learner.learn(other.batch({k: v * 2 for k, v in points(every(range(2, 6), 2), seed=8).items()}, [2] * 8))
    other.classes("hibernate", "c2")
    other.events(every(range(2, 6), 60), seed=2)
    assert other.told(ImportRequest(packet=origin.learner.packet_of("c0"))).result == "applied"
    assert other.told(ImportRequest(packet=origin.learner.packet_of("c1"))).result == "applied"
    both = learnt(0, 1, 2, 3, 4, 5)
    assert other.accuracy(every([0, 1], 100)) >= both.accuracy(every([0, 1], 100)) - 0.05


def test_a_class_whose_rows_were_not_kept_wakes_but_does_not_move() -> None:
    origin, other = learnt(0, 1, name="origin", capacity=0), learnt(2, 3, stream=2, name="other")
    outcome = other.told(ImportRequest(packet=origin.learner.packet_of("c0")))
    assert outcome.sentence == (
        "The packet of class 'c0' does not fit: analytic.factor is missing; it is kept where rows are."
    )
    origin.classes("hibernate", "c0")
    origin.events([1] * 20, seed=3)
    assert origin.classes("wake", "c0").result == "applied"
    assert origin.accuracy([0] * 50) > 0.8


def test_a_name_that_is_taken_is_refused_whatever_became_of_its_class() -> None:
    origin, other = learnt(0, 1, 2, name="origin"), learnt(0, 1, 2, stream=2, name="other")
    other.classes("hibernate", "c0")
    other.classes("retire", "c1")
    for name, state in (("c0", "hibernated"), ("c1", "retired"), ("c2", "live")):
        outcome = other.told(ImportRequest(packet=origin.learner.packet_of(name)))
        assert outcome.sentence == (f"Class {name!r} is {state} in this model; give the packet's class another name.")


def test_only_what_is_known_can_be_exported() -> None:
    told = learnt(0, 1, 2)
    told.classes("retire", "c1")
    with pytest.raises(InvalidEventError, match="Class 'c1' is retired: nothing is known of it any more"):
        told.learner.packet_of("c1")
    with pytest.raises(InvalidEventError, match="There is no class 'c11'; did you mean 'c1'"):
        told.learner.packet_of("c11")


@pytest.mark.parametrize("name", ["inputs.remainder", "inputs.deviation", "analytic.remainder"])
def test_a_packet_with_a_variance_below_0_is_refused(name: str) -> None:
    packet = Packet.from_bytes(GOOD)
    tensors = {**packet.tensors, name: np.full_like(packet.tensors[name], -1.0)}
    outcome = OTHER.restarted().told(ImportRequest(packet=replace(packet, tensors=tensors).to_bytes()))
    assert outcome.result == "refused"
    assert name in outcome.sentence


GOOD = learnt(0, 1).learner.packet_of("c0")
OTHER = learnt(2, 3, stream=2, name="other")
MOVED = {"amount": [500.0, 50.0], "x": [0.0, 1.0]}
"""Scales so far from those of `OTHER` that rows are drawn, rather than sums taken over."""


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"events": 10**30}, f"events of the packet is {10**30}; it must be from 1 to 1000000000000."),
        ({"events": -5}, "events of the packet is -5; it must be from 1 to 1000000000000."),
        ({"events": -5, "scales": MOVED}, "events of the packet is -5; it must be from 1 to 1000000000000."),
        ({"events": math.inf}, "events of the packet is inf; it must be a whole number."),
        ({"index": math.inf}, "index of the packet is inf; it must be a whole number."),
        ({"index": True}, "index of the packet is True; it must be a whole number."),
        ({"class": 5}, "class of the packet is 5; it must be a string."),
        ({"tenant": "\ud800"}, "tenant of the packet is '\\ud800'; it must be 1 to 256 characters of Unicode."),
        ({"model": ""}, "model of the packet is ''; it must be 1 to 256 characters of Unicode."),
        ({"scales": [1]}, "scales of the packet is [1]; it must be two numbers by column."),
        (
            {"scales": MOVED | {"x": [0.0, 0.0]}},
            "scales.'x'[1] of the packet is 0.0; it must be finite and above 0.",
        ),
        (
            {"scales": {"amount": [500.0, 50.0]}},
            "scales of the packet is ['amount']; it must be of the columns 'amount', 'x'.",
        ),
        (
            {"scales": MOVED, "encoder": {"origins": {"amount": math.nan, "x": 0.0}, "scales": {"x": 1.0}}},
            "encoder.origins.'amount' of the packet is nan; it must be finite.",
        ),
        (
            {"scales": MOVED, "encoder": {"origins": {"amount": 1.0, "x": 0.0}, "scales": {"x": 0.0}}},
            "encoder.scales.'x' of the packet is 0.0; it must be from 1e-100 to 1e+100.",
        ),
        (
            {"encoder": {"origins": {"x": 0.0}, "scales": {"x": 1.0}}},
            "encoder.origins of the packet is ['x']; it must be of the columns 'amount', 'x'.",
        ),
    ],
)
def test_a_packet_that_says_what_cannot_be_is_refused_and_changes_nothing(
    changes: dict[str, Any], sentence: str
) -> None:
    told = OTHER.restarted()
    before = state_of(told)
    outcome = told.told(ImportRequest(packet=saying(GOOD, changes)))
    assert (outcome.result, outcome.sentence) == ("refused", sentence)
    assert state_of(told) == before


@pytest.mark.parametrize("name", ["", "x" * 257, "\ud800"])
def test_the_name_that_a_class_would_have_must_be_one_that_a_label_can_have(name: str) -> None:
    allowed = "it must have 1 to 256 characters of Unicode. Give the packet's class another name."
    for request in (
        ImportRequest(packet=saying(GOOD, {"class": name})),
        ImportRequest(packet=GOOD, name=name),
    ):
        outcome = OTHER.restarted().told(request)
        assert outcome.result == "refused"
        assert outcome.sentence.endswith(allowed)
        assert outcome.sentence.encode()
    renamed = OTHER.restarted().told(ImportRequest(packet=saying(GOOD, {"class": name}), name="c0"))
    assert renamed.classes == ("c0",)


def test_a_packet_that_the_checks_stumble_over_is_refused_with_a_traceback_in_the_log(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def stumble(*_: object, **__: object) -> None:
        raise OverflowError("cannot convert float infinity to integer")

    told = OTHER.restarted()
    before = state_of(told)
    monkeypatch.setattr(class_packets, "check_whole", stumble)
    with capture_logs() as logs:
        outcome = told.told(ImportRequest(packet=GOOD))
    assert (outcome.result, outcome.sentence) == (
        "refused",
        "The packet cannot be checked: 'cannot convert float infinity to integer'.",
    )
    assert [(line["log_level"], line["exc_info"]) for line in logs] == [("error", True)]
    assert state_of(told) == before


def test_squares_of_more_rows_than_anyone_has_are_refused() -> None:
    packet = Packet.from_bytes(GOOD)
    content = replace(packet, tensors={**packet.tensors, "analytic.squares": np.array([1e-300])}).to_bytes()
    outcome = OTHER.restarted().told(ImportRequest(packet=content))
    assert outcome.sentence.startswith("The packet of class 'c0' does not fit: analytic.squares is 1e-300; no ")


NUMBERS = st.sampled_from([math.nan, math.inf, -math.inf, 0.0, -1.0, 1e-320, 1e-100, 1e30, 1e300, -1.7e308])
BY_COLUMN = st.fixed_dictionaries({"amount": NUMBERS, "x": NUMBERS})
VALUES = st.one_of(
    st.none() | st.booleans() | st.integers() | st.integers(-(10**30), 10**30) | NUMBERS,
    st.text(max_size=3) | st.sampled_from(["\ud800", "x" * 2000]) | st.lists(NUMBERS, max_size=2),
    st.fixed_dictionaries({"amount": st.tuples(NUMBERS, NUMBERS), "x": st.tuples(NUMBERS, NUMBERS)}),
    st.fixed_dictionaries({"origins": BY_COLUMN, "scales": BY_COLUMN | st.fixed_dictionaries({"x": NUMBERS})}),
)


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_whatever_bytes_come_as_a_packet_the_learner_goes_on(data: st.DataObject) -> None:
    content = bytearray(GOOD)
    match data.draw(st.integers(0, 5)):
        case 0:
            content = bytearray(data.draw(st.binary(max_size=200)))
        case 1:
            content = content[: data.draw(st.integers(0, len(content)))]
        case 2:
            for _ in range(data.draw(st.integers(1, 5))):
                content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
        case 3:
            packet = Packet.from_bytes(GOOD)
            name = data.draw(st.sampled_from(sorted(packet.tensors)))
            shape = data.draw(st.lists(st.integers(0, 400), max_size=3))
            kind = data.draw(st.sampled_from([np.float32, np.float64, np.int64, np.bool_, np.uint8]))
            content = bytearray(replace(packet, tensors={**packet.tensors, name: np.ones(shape, kind)}).to_bytes())
        case 4:
            packet = Packet.from_bytes(GOOD)
            name = data.draw(st.sampled_from(sorted(packet.tensors)))
            value = data.draw(st.sampled_from([np.nan, np.inf, -1.0, 0.0, 1e300]))
            with np.errstate(over="ignore"):
                tensors = {**packet.tensors, name: np.full_like(packet.tensors[name], value)}
            content = bytearray(replace(packet, tensors=tensors).to_bytes())
        case 5:
            fields = st.sampled_from(sorted(card_of(GOOD)))
            content = bytearray(saying(GOOD, data.draw(st.dictionaries(fields, VALUES, min_size=1, max_size=2))))
    told = OTHER.restarted()
    outcome = told.told(ImportRequest(packet=bytes(content)))
    told.events([2, 3, 2, 3], seed=9)
    assert np.isfinite(told.answers([2, 3])).all()
    assert outcome.result in ("applied", "refused")
    assert all(text.encode() and len(text) < 1000 for text in (outcome.sentence, *told.learner.class_names))
    told = told.restarted()
    told.classes("hibernate", told.learner.class_names[-1])
    told.events([2, 3, 4], seed=10)
    told = told.restarted()
    told.classes("wake", *told.learner.class_names)
    assert np.isfinite(told.answers([2, 3])).all()


@pytest.mark.parametrize("name", ["inputs.remainder", "inputs.deviation", "analytic.remainder"])
def test_a_packet_with_a_spread_below_zero_is_refused(name: str) -> None:
    packet = Packet.from_bytes(GOOD)
    tensors = {**packet.tensors, name: np.full_like(packet.tensors[name], -1.0)}
    outcome = OTHER.restarted().told(ImportRequest(packet=replace(packet, tensors=tensors).to_bytes()))
    assert outcome.result == "refused"
    assert name in str(outcome)


def test_a_packet_too_large_for_a_message_is_refused() -> None:
    with pytest.raises(InvalidEventError, match=f"it may have {MOST_BYTES}"):
        packet_to_import(bytes(MOST_BYTES + 1))


def test_a_wide_models_packet_is_larger_than_a_message_and_wakes_its_class_all_the_same() -> None:
    width = 50_000
    model = ModelConfig(
        name="photos",
        features=(Feature(name="pixels", kind="vector", width=width),),
        heads=("linear",),
        backbone=BackboneConfig(hidden=(4,)),
    )

    def new() -> Learner:
        replay = ReplayConfig(capacity=40, rows_per_step=4)
        return Learner(model, TrainingConfig(device="cpu", inner_steps=1), replay, topic="t", max_events=16)

    def batch(labels: list[str], first_offset: int, *controls: Control) -> Any:
        pixels = np.random.default_rng(first_offset).normal(size=(len(labels), width)).astype(np.float32)
        events = event_batch(model.schema, {"pixels": pixels}, labels, first_offset=first_offset)
        return replace(events, controls=controls)

    learner = new()
    request = ClassRequest(verb="hibernate", classes=("a",))
    asleep = Control(at=0, partition=0, offset=12, row=0, request=request)
    learner.learn(batch(["a", "b", "c"] * 4, 0))
    learner.learn(batch([], 12, asleep))
    learner.learn(batch(["b", "c"], 13))
    checkpoint, _ = learner.capture(epoch=1, version=1, mlflow_run_id=None, full_reservoir=True)
    ((_, packet),) = checkpoint.packets.items()
    assert len(packet) > MOST_BYTES
    with pytest.raises(InvalidEventError, match=f"it may have {MOST_BYTES}"):
        packet_to_import(packet)
    restored = new()
    restored.restore(checkpoint)
    request = ClassRequest(verb="wake", classes=("a",))
    (outcome,) = restored.learn(batch([], 15, Control(at=0, partition=0, offset=15, row=0, request=request))).controls
    assert outcome.result == "applied"


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 60), st.integers(2, 30), st.integers(0, 1000))
def test_a_spread_keeps_the_scatter_of_few_directions_and_the_variances_of_all(
    num_rows: int, width: int, seed: int
) -> None:
    generator = np.random.default_rng(seed)
    psi = generator.normal(size=(num_rows, min(width, 8))) @ generator.normal(size=(min(width, 8), width))
    weights = generator.uniform(0.5, 2, num_rows)
    spread, sums = Spread.of(psi, weights), weights @ psi
    exact = (psi * weights[:, None]).T @ psi
    found = spread.scatter(float(weights.sum()), sums)
    size = np.abs(exact).max()
    assert np.abs(np.diag(found) - np.diag(exact)).max() < 5e-3 * size
    assert np.abs(found - exact).max() < 2e-2 * size, "of rank 8 it is all there"
    assert np.linalg.eigvalsh(found).min() > -1e-6 * size
