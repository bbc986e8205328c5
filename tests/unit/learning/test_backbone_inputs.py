"""Heads beside the linear one that read the features of a frozen backbone: exact as long as it stands still."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from labelled_rows import event_batch
from mixed_streams import BACKBONES, mixed_model, mixed_stream
from penstock.errors import ConfigurationError, StateError
from penstock.features import Feature
from penstock.flow import ClassRequest, ClassVerb, Control, EventBatch, EventPlace, ImportRequest, RetractionRequest
from penstock.learning.config import BackboneConfig, HeadInputsName, HeadName, ModelConfig, TrainingConfig
from penstock.learning.heads.ensemble import Ensemble
from penstock.learning.learner import Learner
from penstock.learning.packet import Packet
from penstock.learning.predictor import Predictor
from penstock.learning.rates import LearningRates
from penstock.learning.rows import columns_of
from penstock.replay.config import ReplayConfig
from same_learners import assert_same, capture, through_json

FROZEN = LearningRates(frozen=("last_block", "lower"))
MAIL = ModelConfig(
    name="mail",
    features=(Feature(name="subject", kind="text"), Feature(name="length", kind="number")),
    backbone=BackboneConfig(kind="text", hidden=(24,), embedding_buckets=300, embedding_width=16, max_tokens=6),
    head_inputs="backbone",
)
ALL: tuple[HeadName, ...] = ("linear", "analytic", "instances")


def learner_of(model: ModelConfig = MAIL, *, seed: int = 0, heads: tuple[HeadName, ...] = ALL) -> Learner:
    return Learner(
        replace(model, heads=heads),
        TrainingConfig(device="cpu", learning_rates=FROZEN, seed=seed),
        ReplayConfig(capacity=200),
        topic="mail.labels",
        max_events=64,
    )


def mails(count: int, classes: int, *, seed: int, first_offset: int = 0, scale: float = 1.0) -> EventBatch:
    """Subjects of three words of their class and one of anybody's; lengths say nothing."""
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, classes, count)
    subjects = [
        " ".join([f"w{label}x{word}" for word in generator.integers(0, 4, 3)] + [f"any{generator.integers(9)}"])
        for label in labels
    ]
    features = {"subject": subjects, "length": scale * (50 + 9 * generator.normal(size=count))}
    return event_batch(MAIL.schema, features, [f"c{label}" for label in labels], first_offset=first_offset)


def warm(seed: int = 0) -> bytes:
    """Weights of a model that has learnt mails by gradient."""
    learner = Learner(
        replace(MAIL, head_inputs="encoded", heads=("linear",)),
        TrainingConfig(device="cpu", seed=seed),
        ReplayConfig(capacity=200),
        topic="mail.labels",
        max_events=64,
    )
    for number in range(6):
        learner.learn(mails(40, 5, seed=number, first_offset=40 * number))
    return learner.capture(epoch=1, version=1, mlflow_run_id=None, full_reservoir=True)[1].content


@pytest.fixture(scope="module")
def weights() -> bytes:
    return warm()


def taught(weights: bytes, *, heads: tuple[HeadName, ...] = ALL, classes: int = 4, scale: float = 1.0) -> Learner:
    learner = learner_of(heads=heads)
    learner.start_from(weights, "warm.safetensors")
    for number in range(6):
        learner.learn(mails(40, classes, seed=20 + number, first_offset=40 * number, scale=scale))
    return learner


def ensemble_of(learner: Learner) -> Ensemble:
    assert learner._parts.ensemble is not None
    return learner._parts.ensemble


def predictor_of(learner: Learner, model: ModelConfig = MAIL) -> Predictor:
    content = learner.capture(epoch=1, version=1, mlflow_run_id=None, full_reservoir=True)[1].content
    return Predictor.from_weights(content, model=model, device=torch.device("cpu"))


def told(learner: Learner, request: Any, offset: int = 900) -> Any:
    nothing = mails(0, 2, seed=0, first_offset=offset)
    control = Control(at=0, partition=0, offset=offset, row=0, request=request)
    (outcome,) = learner.learn(replace(nothing, controls=(control,))).controls
    return outcome


def test_all_heads_answer_text_and_a_replica_answers_alike(weights: bytes) -> None:
    learner = taught(weights)
    ensemble, asked = ensemble_of(learner), mails(200, 4, seed=77)
    assert ensemble.members == ("linear", "analytic", "forgetting", "near", "far")
    assert ensemble.inputs.width == 24
    columns = columns_of(asked.events, MAIL.schema)
    predictor = predictor_of(learner)
    found = predictor.probabilities(predictor.encode(columns))
    assert np.abs(found - learner.probabilities(columns)).max() < 1e-6
    names = np.array(predictor.class_names)
    assert (names[found.argmax(axis=1)] == np.array(asked.events.column("label").to_pylist())).mean() > 0.95


def test_the_analytic_head_alone_answers_text(weights: bytes) -> None:
    learner, asked = taught(weights, heads=("analytic",)), mails(200, 4, seed=77)
    found = np.array(learner.class_names)[learner.probabilities(columns_of(asked.events, MAIL.schema)).argmax(axis=1)]
    assert (found == np.array(asked.events.column("label").to_pylist())).mean() > 0.95


@pytest.mark.parametrize("backbone", BACKBONES, ids=["mlp", "text", "own"])
def test_every_kind_of_backbone_stands_still_and_a_learner_goes_on_from_a_checkpoint_to_the_bit(
    backbone: BackboneConfig,
) -> None:
    """Batch statistics of an operator's own module are part of its features: they stand still too."""
    model = replace(mixed_model(backbone), head_inputs="backbone")
    learner, batches = learner_of(model), mixed_stream(0)
    before = {name: tensor.clone() for name, tensor in learner._parts.network.backbone.state_dict().items()}
    for batch in batches[:6]:
        learner.learn(batch)
    for name, tensor in learner._parts.network.backbone.state_dict().items():
        assert torch.equal(tensor, before[name]), name
    other = learner_of(model)
    other.restore(through_json(capture(learner)))
    for batch in batches[6:]:
        assert learner.learn(batch).hits.tolist() == other.learn(batch).hits.tolist()
    assert_same(learner, other)
    columns = columns_of(batches[-1].events, model.schema)
    predictor = predictor_of(learner, model)
    found = predictor.probabilities(predictor.encode(columns))
    assert np.abs(found - learner.probabilities(columns)).max() < 1e-6


def test_a_retracted_event_leaves_the_sums_as_if_it_had_never_come(weights: bytes) -> None:
    without, learner = taught(weights, heads=("analytic",)), taught(weights, heads=("analytic",))
    one = mails(1, 4, seed=5, first_offset=240)
    learner.learn(one)
    place = EventPlace(topic="mail.labels", partition=0, offset=240)
    outcome = told(learner, RetractionRequest(event=one.events, of=place))
    assert outcome.result == "applied"
    assert outcome.exactness["analytic"] == "exact"
    scores = []
    for each in (without, learner):
        analytic = ensemble_of(each).analytic
        assert analytic is not None
        analytic.solve()
        asked = each._parts.encoder.encode(columns_of(mails(50, 4, seed=8).events, MAIL.schema))
        scores.append(analytic.exact_scores(ensemble_of(each).inputs(asked)))
        scores[-1] = scores[-1][:, np.isfinite(scores[-1]).all(axis=0)]  # of the warm start's classes one never came
    assert scores[0].shape == scores[1].shape == (50, 4)
    assert np.abs(scores[0] - scores[1]).max() < 1e-5 * np.abs(scores[0]).max()


def test_a_packet_moves_between_models_with_one_backbone_and_no_others(weights: bytes) -> None:
    packet = taught(weights, classes=4).packet_of("c0")
    same, another, scaled = learner_of(), learner_of(), learner_of()
    for learner, start, scale in ((same, weights, 1.0), (another, warm(seed=3), 1.0), (scaled, weights, 3.0)):
        learner.start_from(start, "warm.safetensors")
        learner.learn(mails(60, 3, seed=1, scale=scale))
    assert told(same, ImportRequest(packet=packet, name="moved")).result == "applied"
    asked = mails(200, 4, seed=78)
    theirs = np.array(asked.events.column("label").to_pylist()) == "c0"
    found = same.probabilities(columns_of(asked.events, MAIL.schema)).argmax(axis=1)
    moved = (found == same.class_names.index("moved")) | (found == same.class_names.index("c0"))
    assert moved[theirs].mean() > 0.9
    assert moved[~theirs].mean() < 0.1
    refused = told(another, ImportRequest(packet=packet, name="moved"))
    assert refused.result == "refused"
    assert refused.sentence.endswith("model.head_inputs or the frozen backbone is another there.")
    refused = told(scaled, ImportRequest(packet=packet, name="moved"))
    assert refused.result == "refused"
    assert "another scale" in refused.sentence
    assert Packet.from_bytes(packet).psi != Packet.from_bytes(taught(warm(seed=3)).packet_of("c0")).psi


@pytest.mark.parametrize("head_inputs", ["encoded", "backbone"])
def test_where_there_is_nothing_but_text_a_class_sleeps_and_wakes_as_if_nothing_had_happened(
    head_inputs: HeadInputsName,
) -> None:
    only_text = replace(MAIL, features=MAIL.features[:1], head_inputs=head_inputs)
    learner, untouched = learner_of(only_text), learner_of(only_text)
    words = [f"w{place % 3}x{place % 4} any{place % 7}" for place in range(96)]
    told_labels = [f"c{place % 3}" for place in range(96)]
    for each in (learner, untouched):
        each.learn(event_batch(only_text.schema, {"subject": words}, told_labels))
    verbs: tuple[ClassVerb, ...] = ("hibernate", "wake")
    for offset, verb in enumerate(verbs):
        nothing = event_batch(only_text.schema, {"subject": []}, [], first_offset=96 + offset)
        control = Control(
            at=0, partition=0, offset=96 + offset, row=0, request=ClassRequest(verb=verb, classes=("c1",))
        )
        (outcome,) = learner.learn(replace(nothing, controls=(control,))).controls
        assert outcome.result == "applied"
    digests = [
        each.capture(epoch=1, version=1, mlflow_run_id=None, full_reservoir=True)[1].sha256
        for each in (learner, untouched)
    ]
    assert digests[0] == digests[1]


@pytest.mark.parametrize(
    ("rates", "sentence"),
    [
        (LearningRates(), r"frozen is \[\]; the features must stand still, so list 'last_block' and 'lower' there"),
        (LearningRates(frozen=("lower",)), r"frozen is \['lower'\]"),
        (LearningRates(frozen=("last_block", "lower"), unfreeze_after_events=9), "unfreeze_after_events is 9"),
    ],
)
def test_a_backbone_that_may_move_is_refused(rates: LearningRates, sentence: str) -> None:
    training = TrainingConfig(device="cpu", learning_rates=rates)
    with pytest.raises(ConfigurationError, match=sentence):
        Learner(MAIL, training, ReplayConfig(), topic="mail.labels", max_events=64)


def test_a_checkpoint_of_heads_that_read_something_else_is_refused(weights: bytes) -> None:
    checkpoint = capture(taught(weights))
    other = learner_of(replace(MAIL, head_inputs="encoded"))
    with pytest.raises(StateError, match=r"has heads that read 'backbone'; model.head_inputs is now 'encoded'"):
        other.restore(checkpoint)
