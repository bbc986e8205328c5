"""Options, learning rates and replay policies in a whole learner: they survive, they are served, they are kept."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from labelled_rows import PLANE, plane_batches
from mixed_streams import BACKBONES, mixed_model, mixed_stream
from penstock.flow import EventBatch
from penstock.learning.config import BackboneConfig, HeadName, ModelConfig, TrainingConfig
from penstock.learning.learner import Learner
from penstock.learning.predictor import Predictor
from penstock.learning.rates import LearningRates
from penstock.learning.regularisers.config import TrainingOptions
from penstock.learning.rows import columns_of
from penstock.replay.config import Policy, ReplayConfig
from same_learners import assert_same, capture, through_json

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
AT_BIRTHS = replace(ALL, anchor_events=0, er_ace=False)
RATES = LearningRates(head=1.0, last_block=0.3, lower=0.1, frozen=("lower",), unfreeze_after_events=40)
HEADS: list[tuple[HeadName, ...]] = [("linear",), ("linear", "analytic", "instances")]


def learner_of(
    model: ModelConfig,
    options: TrainingOptions,
    *,
    rates: LearningRates | None = None,
    policy: Policy = "class_balanced",
    seed: int = 0,
) -> Learner:
    training = TrainingConfig(
        device="cpu", inner_steps=2, seed=seed, options=options, learning_rates=rates or LearningRates()
    )
    replay = ReplayConfig(capacity=30, rows_per_step=8, policy=policy, half_life_events=20)
    return Learner(model, training, replay, topic="mixed.labels", max_events=8)


def assert_resumes(model: ModelConfig, batches: list[EventBatch], cut: int, arguments: Mapping[str, Any]) -> None:
    whole, before, after = (learner_of(model, **arguments, seed=seed) for seed in (0, 0, 99))
    for batch in batches:
        whole.learn(batch)
    for batch in batches[:cut]:
        before.learn(batch)
    after.restore(through_json(capture(before)))
    for batch in batches[cut:]:
        after.learn(batch)
    assert_same(whole, after)


@pytest.mark.parametrize("heads", HEADS, ids=["linear", "mixed"])
@pytest.mark.parametrize("backbone", BACKBONES, ids=["mlp", "text", "own"])
@pytest.mark.parametrize("options", [ALL, AT_BIRTHS], ids=["periodic", "at births"])
def test_with_every_option_on_a_restored_learner_goes_on_to_the_bit(
    options: TrainingOptions, backbone: BackboneConfig, heads: tuple[HeadName, ...]
) -> None:
    model = replace(mixed_model(backbone), heads=heads)
    for cut in (1, 6):
        assert_resumes(model, mixed_stream(cut), cut, {"options": options, "rates": RATES})


@pytest.mark.parametrize("heads", HEADS, ids=["linear", "mixed"])
@pytest.mark.parametrize("policy", ["uniform", "recency", "window"])
def test_with_every_replay_policy_a_restored_learner_goes_on_to_the_bit(
    policy: Policy, heads: tuple[HeadName, ...]
) -> None:
    model = replace(mixed_model(BACKBONES[0]), heads=heads)
    assert_resumes(model, mixed_stream(1), 5, {"options": TrainingOptions(), "policy": policy})


@pytest.mark.parametrize("options", [ALL, TrainingOptions()], ids=["on", "off"])
def test_options_may_be_switched_between_two_runs(options: TrainingOptions) -> None:
    other = TrainingOptions() if options == ALL else ALL
    before, after = learner_of(PLANE, options), learner_of(PLANE, other)
    for batch in plane_batches(["a", "d"], 5, 10):
        before.learn(batch)
    after.restore(through_json(capture(before)))
    for batch in plane_batches(["a", "d", "k"], 5, 10, first_offset=50):
        after.learn(batch)
    assert after.class_names[:2] == before.class_names
    assert len(after.class_names) == 3
    assert_resumes(PLANE, plane_batches(["a", "d"], 6, 10), 3, {"options": other})


@pytest.mark.parametrize("heads", HEADS, ids=["linear", "mixed"])
def test_a_replica_answers_with_the_averaged_weights_as_the_trainer_does(heads: tuple[HeadName, ...]) -> None:
    model = replace(mixed_model(BACKBONES[2]), heads=heads)
    learner = learner_of(model, TrainingOptions(ema_decay=0.98))
    batches = mixed_stream(3)
    for batch in batches:
        learner.learn(batch)
    checkpoint, weights = learner.capture(epoch=1, version=1, mlflow_run_id=None, full_reservoir=True)
    predictor = Predictor.from_weights(weights.content, model=model, device=torch.device("cpu"))
    columns = columns_of(batches[-1].events, model.schema)
    served = predictor.probabilities(predictor.encode(columns))
    assert np.allclose(served, learner.probabilities(columns), atol=1e-6)
    raw = checkpoint.tensors["network.head.rows"]
    averaged = checkpoint.tensors["adam.options.ema.head"]
    assert raw.shape == averaged.shape
    assert not np.allclose(raw.astype(float), averaged.astype(float), atol=1e-4)


def test_kept_rows_carry_the_logits_that_they_had_when_they_were_put_away() -> None:
    """So the distillation begins at 0: the rows of the last batch, asked of the weights as they now stand."""
    model = replace(PLANE, heads=("linear",))
    learner = learner_of(model, TrainingOptions(der_weight=1.0), policy="window")
    batches = plane_batches(["a", "d", "k"], 4, 6)
    for batch in batches:
        learner.learn(batch)
    checkpoint = capture(learner)
    columns = checkpoint.reservoir.columns
    newest = np.flatnonzero(columns["time"].astype(np.int64) >= 18)
    assert len(newest) == 6
    tensors = {name: checkpoint.tensors[f"network.{name}"].astype(np.float64) for name in NETWORK}
    hidden = np.maximum(columns["dense"][newest].astype(np.float64) @ tensors[NETWORK[0]].T + tensors[NETWORK[1]], 0)
    logits = hidden @ tensors["head.rows"][:, :-1].T + tensors["head.rows"][:, -1]
    places = columns["logit_columns"][newest].astype(np.int64)
    assert (places[:, :3] >= 0).all()
    assert (places[:, 3:] == -1).all()
    assert np.allclose(columns["logit_values"][newest][:, :3], np.take_along_axis(logits, places[:, :3], 1), atol=1e-5)


NETWORK = ("backbone.layers.0.weight", "backbone.layers.0.bias", "head.rows")


def test_without_the_option_no_logits_are_kept() -> None:
    learner = learner_of(PLANE, TrainingOptions())
    learner.learn(plane_batches(["a", "d"], 1, 6)[0])
    checkpoint = capture(learner)
    assert not [name for name in checkpoint.reservoir.columns if "logit" in name]
    assert not [name for name in checkpoint.tensors if "logit" in name or "options" in name]


def test_the_anchor_is_dropped_before_a_new_class_has_moved_anything() -> None:
    learner = learner_of(replace(PLANE, heads=("linear",)), TrainingOptions(ewc_strength=1.0, lwf_weight=1.0))
    for batch in plane_batches(["a", "d"], 70, 8):
        learner.learn(batch)
    before = capture(learner).tensors["network.head.rows"]
    learner.learn(plane_batches(["k"], 1, 8, first_offset=560)[0])
    tensors = capture(learner).tensors
    assert tensors["adam.options.lwf.head"].tolist() == before.tolist()
    assert tensors["adam.options.ewc.anchors.places.head.rows"].tolist() == before.tolist()
    assert len(tensors["network.head.rows"]) == 3
