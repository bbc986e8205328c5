"""A restored learner goes on, to the bit, as if it had never stopped."""

from dataclasses import replace
from typing import Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controlled_streams import TOPIC, Told
from labelled_rows import PLANE
from mixed_streams import BACKBONES, FEATURES, mixed_learner, mixed_model, mixed_stream
from penstock.errors import StateError
from penstock.learning.config import BackboneConfig, ModelConfig, TrainingConfig
from penstock.learning.learner import Learner
from penstock.replay.config import ReplayConfig
from same_learners import assert_same, capture, through_json

NUM_BATCHES = 10


@settings(max_examples=12, deadline=None)
@given(
    cuts=st.sets(st.integers(0, NUM_BATCHES), min_size=1, max_size=3),
    backbone=st.sampled_from(BACKBONES),
    capacity=st.sampled_from([0, 30, 500]),
    seed=st.integers(0, 5),
)
def test_cut_anywhere_and_restored_it_learns_the_same_to_the_bit(
    cuts: set[int], backbone: BackboneConfig, capacity: int, seed: int
) -> None:
    whole = mixed_learner(mixed_model(backbone), capacity)
    parts = mixed_learner(mixed_model(backbone), capacity)
    reports = []
    for number, batch in enumerate(mixed_stream(seed)):
        if number in cuts:
            checkpoint = through_json(capture(parts))
            parts = mixed_learner(mixed_model(backbone), capacity, seed=99)
            parts.restore(checkpoint)
        reports.append([replace(learner.learn(batch), step_seconds=0) for learner in (whole, parts)])
    assert all(one == other for one, other in reports)
    assert_same(whole, parts)


@pytest.mark.parametrize("policy", ["class_balanced", "uniform"])
@pytest.mark.parametrize(("before", "after"), [(200, 100), (200, 20), (200, 0), (0, 200), (60, 500)])
def test_with_another_reservoir_it_goes_on_with_the_rows_that_fit(
    before: int, after: int, policy: Literal["class_balanced", "uniform"]
) -> None:
    told = Told(capacity=before)
    told.events([label % 4 for label in range(300)], seed=1)
    told.events([label % 3 for label in range(100)], seed=2)  # the fourth class is absent, so its rows count
    replay = ReplayConfig(capacity=after, policy=policy)
    learner = Learner(told.model, TrainingConfig(device="cpu"), replay, topic=TOPIC, max_events=64)
    learner.restore(told.capture()[0])
    told.learner = learner
    told.events([label % 4 for label in range(200)], seed=3)
    assert told.accuracy([label % 4 for label in range(200)]) > 0.85
    assert len(learner._parts.reservoir) <= after


def test_the_same_events_in_the_same_batches_give_the_same_weights() -> None:
    first, second = (mixed_learner(mixed_model(BACKBONES[2])) for _ in range(2))
    for batch in mixed_stream(0):
        for learner in (first, second):
            learner.learn(batch)
    assert_same(first, second)


def test_another_seed_gives_other_weights() -> None:
    first, second = mixed_learner(mixed_model(BACKBONES[0])), mixed_learner(mixed_model(BACKBONES[0]), seed=1)
    name = "network.backbone.layers.0.weight"
    assert (capture(first).tensors[name] != capture(second).tensors[name]).any()


def test_a_capture_does_not_change_with_what_is_learnt_later() -> None:
    learner = mixed_learner(mixed_model(BACKBONES[1]))
    batches = mixed_stream(0)
    for batch in batches[:5]:
        learner.learn(batch)
    checkpoint = capture(learner)
    before = {name: array.tobytes() for name, array in checkpoint.tensors.items()}
    for batch in batches[5:]:
        learner.learn(batch)
    assert {name: array.tobytes() for name, array in checkpoint.tensors.items()} == before


def test_a_learner_that_has_learnt_nothing_can_be_captured_and_restored() -> None:
    learner, restored = mixed_learner(mixed_model(BACKBONES[0])), mixed_learner(mixed_model(BACKBONES[0]), seed=3)
    restored.restore(through_json(capture(learner)))
    assert_same(learner, restored)


@pytest.mark.parametrize(
    ("other", "sentence"),
    [
        (ModelConfig(name="other", features=FEATURES), "is of model 'mixed'; model.name is 'other'"),
        (PLANE, "is of model 'mixed'"),
        (ModelConfig(name="mixed", features=FEATURES[:3]), "has learnt other features than model.features now lists"),
        (
            ModelConfig(name="mixed", features=FEATURES, backbone=BackboneConfig(hidden=(9,))),
            r"has the backbone \{.*\[9, 5\]\}; model.backbone is now .*\[9\]",
        ),
    ],
)
def test_a_checkpoint_of_another_model_is_refused_and_changes_nothing(other: ModelConfig, sentence: str) -> None:
    learner = mixed_learner(mixed_model(BACKBONES[0]))
    learner.learn(mixed_stream(0)[0])
    unchanged, twin = mixed_learner(other), mixed_learner(other)
    with pytest.raises(StateError, match=sentence):
        unchanged.restore(capture(learner))
    assert_same(unchanged, twin)


def test_a_checkpoint_that_lacks_a_tensor_is_refused() -> None:
    learner = mixed_learner(mixed_model(BACKBONES[0]))
    checkpoint = capture(learner)
    tensors = {name: array for name, array in checkpoint.tensors.items() if name != "moments.mean"}
    with pytest.raises(StateError, match=r"does not fit this model: 'moments\.mean'"):
        learner.restore(replace(checkpoint, tensors=tensors))
