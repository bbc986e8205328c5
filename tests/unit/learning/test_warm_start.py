"""A learner that begins with weights learnt elsewhere: what fits by name is taken, what does not is said or refused."""

import io
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from torch import nn

from labelled_rows import PLANE, event_batch, plane_batches
from mixed_streams import BACKBONES, FEATURES, mixed_model, mixed_stream
from penstock.errors import ConfigurationError
from penstock.flow import ClassRequest, ClassVerb, Control, Weights
from penstock.learning.config import BackboneConfig, HeadName, ModelConfig, TrainingConfig, WarmStartConfig
from penstock.learning.learner import Learner
from penstock.learning.predictor import Predictor
from penstock.learning.regularisers.config import TrainingOptions
from penstock.learning.rows import columns_of
from penstock.learning.weights import card_of, encode_weights, read_card, read_tensors
from penstock.replay.config import ReplayConfig
from same_learners import assert_same, capture, through_json

URI = "weights.safetensors"
LINEAR: tuple[HeadName, ...] = ("linear",)


def learner_of(model: ModelConfig, *, seed: int = 0, **options: Any) -> Learner:
    training = TrainingConfig(device="cpu", seed=seed, options=TrainingOptions(**options))
    replay = ReplayConfig(capacity=100)
    return Learner(model, training, replay, topic=f"{model.name}.labels", max_events=32)


def taught(model: ModelConfig, seed: int = 0) -> Weights:
    """The weights of a model that has learnt its stream."""
    learner = learner_of(model, seed=seed)
    batches = plane_batches(["a", "h", "p"], 12, 16) if model.name == "plane" else mixed_stream(0)
    for batch in batches:
        learner.learn(batch)
    return learner.capture(epoch=1, version=1, mlflow_run_id=None, full_reservoir=True)[1]


def answers(weights: Weights, model: ModelConfig, batch: Any) -> np.ndarray:
    predictor = Predictor.from_weights(weights.content, model=model, device=torch.device("cpu"))
    return predictor.probabilities(predictor.encode(columns_of(batch.events, model.schema)))


def carry_out(learner: Learner, verb: ClassVerb, name: str) -> str:
    """What became of a control that comes alone."""
    nothing = event_batch(PLANE.schema, {"point": np.zeros((0, 2))}, [])
    request = ClassRequest(verb=verb, classes=(name,))
    (outcome,) = learner.learn(
        replace(nothing, controls=(Control(at=0, partition=0, offset=0, row=0, request=request),))
    ).controls
    return outcome.result


@pytest.mark.parametrize("backbone", BACKBONES, ids=["mlp", "text", "own"])
@pytest.mark.parametrize("options", [{}, {"ema_decay": 0.9, "lwf_weight": 1.0}], ids=["plain", "options"])
def test_it_answers_at_once_as_the_model_that_it_begins_with(
    backbone: BackboneConfig, options: dict[str, float]
) -> None:
    model = replace(mixed_model(backbone), heads=LINEAR)
    weights, batch = taught(model), mixed_stream(1)[-1]
    learner = learner_of(model, seed=7, **options)
    mapped = learner.start_from(weights.content, URI)
    assert (mapped.left, mapped.initial, mapped.knows_inputs) == ((), (), True)
    assert mapped.classes == learner.class_names == read_card(weights.content).ledger.names
    expected = answers(weights, model, batch)
    assert np.allclose(learner.probabilities(columns_of(batch.events, model.schema)), expected, atol=1e-6)
    _, served = learner.capture(epoch=1, version=1, mlflow_run_id=None, full_reservoir=True)
    assert np.allclose(answers(served, model, batch), expected, atol=1e-6)


def test_it_goes_on_from_there_and_new_classes_are_born_beside_the_old() -> None:
    model = replace(PLANE, heads=LINEAR)
    learner = learner_of(model, seed=7)
    learner.start_from(taught(model).content, URI)
    reports = [learner.learn(batch) for batch in plane_batches(["a", "h", "p"], 5, 16, seed=50)]
    assert reports[0].prequential_accuracy > 0.9
    assert reports[0].new_classes == ()
    report = learner.learn(plane_batches(["v"], 1, 16, first_offset=80)[0])
    assert report.new_classes == ("v",)
    assert learner.class_names == ("a", "h", "p", "v") or set(learner.class_names[:3]) == {"a", "h", "p"}


@pytest.mark.parametrize("names", [["a", "h", "p"], ["h"], ["v"]], ids=["all", "one", "new"])
def test_heads_beside_the_linear_one_learn_from_the_stream(names: list[str]) -> None:
    learner = learner_of(PLANE, seed=7)
    mapped = learner.start_from(taught(PLANE).content, URI)
    assert mapped.initial == ()
    assert all(name.startswith("heads.") for name in mapped.left)
    batches = plane_batches(names, 12, 16, seed=50)
    reports = [learner.learn(batch) for batch in batches]
    assert reports[-1].prequential_accuracy > 0.8
    assert set(learner.class_names) == {"a", "h", "p", *names}
    _, weights = learner.capture(epoch=1, version=1, mlflow_run_id=None, full_reservoir=True)
    served = answers(weights, PLANE, batches[-1])
    asked = learner.probabilities(columns_of(batches[-1].events, PLANE.schema))
    assert np.allclose(served, asked, atol=1e-6)
    assert np.allclose(served.sum(axis=1), 1, atol=1e-5)


@pytest.mark.parametrize("heads", [LINEAR, PLANE.heads], ids=["linear", "mixed"])
def test_a_checkpoint_of_a_warm_started_learner_brings_it_back_to_the_bit(heads: tuple[HeadName, ...]) -> None:
    model = replace(PLANE, heads=heads)
    content = taught(model).content
    learner, restored = learner_of(model, seed=7, ema_decay=0.9), learner_of(model, seed=8, ema_decay=0.9)
    learner.start_from(content, URI)
    restored.restore(through_json(capture(learner)))
    for batch in plane_batches(["h", "v"], 4, 16, seed=50):
        for one in (learner, restored):
            one.learn(batch)
    assert_same(learner, restored)


@pytest.mark.parametrize("heads", [LINEAR, PLANE.heads], ids=["linear", "mixed"])
@pytest.mark.parametrize("verb", ["hibernate", "retire"])
def test_controls_may_come_before_its_first_event(heads: tuple[HeadName, ...], verb: ClassVerb) -> None:
    model = replace(PLANE, heads=heads)
    learner = learner_of(model, seed=7)
    learner.start_from(taught(model).content, URI)
    asked = columns_of(plane_batches(["a", "h", "p"], 1, 60, seed=90)[0].events, PLANE.schema)
    before, out = learner.probabilities(asked), learner.class_names.index("h")
    assert carry_out(learner, verb, "h") == "applied"
    after = learner.probabilities(asked)
    assert (after[:, out] == 0).all()
    assert np.allclose(after.sum(axis=1), 1, atol=1e-5)
    if verb == "hibernate":
        assert carry_out(learner, "wake", "h") == "applied"
        assert np.array_equal(learner.probabilities(asked), before)
        assert carry_out(learner, verb, "h") == "applied"
    restored = learner_of(model, seed=8)
    restored.restore(through_json(capture(learner)))
    for batch in plane_batches(["a", "h", "p"], 12, 16, seed=50):
        for one in (learner, restored):
            report = one.learn(batch)
    assert_same(learner, restored)
    assert report.prequential_accuracy > 0.8
    assert (learner.probabilities(asked)[:, out] > 0.5).any() == (verb == "hibernate")


def test_a_head_that_knows_only_a_class_asleep_has_no_opinion() -> None:
    learner = learner_of(PLANE, seed=7)
    learner.start_from(taught(PLANE).content, URI)
    for batch in plane_batches(["h"], 2, 16, seed=50):
        learner.learn(batch)
    carry_out(learner, "hibernate", "h")
    batches = plane_batches(["a", "p"], 6, 16, seed=60)
    found = learner.probabilities(columns_of(batches[0].events, PLANE.schema))
    assert np.allclose(found.sum(axis=1), 1, atol=1e-5)
    reports = [learner.learn(batch) for batch in batches]
    assert reports[-1].prequential_accuracy > 0.8


@pytest.mark.parametrize("heads", [LINEAR, PLANE.heads], ids=["linear", "mixed"])
def test_a_class_that_comes_with_it_may_sleep_through_the_first_events(heads: tuple[HeadName, ...]) -> None:
    model = replace(PLANE, heads=heads)
    learner = learner_of(model, seed=7)
    learner.start_from(taught(model).content, URI)
    carry_out(learner, "hibernate", "h")
    for batch in plane_batches(["a", "p"], 6, 16, seed=50):
        learner.learn(batch)
    assert carry_out(learner, "wake", "h") == "applied"
    for batch in plane_batches(["a", "h", "p"], 6, 16, seed=60):
        report = learner.learn(batch)
    assert report.prequential_accuracy > 0.8


def test_classes_that_sleep_or_are_retired_there_stay_behind() -> None:
    model = replace(PLANE, heads=LINEAR)
    weights = taught(model)
    card = read_card(weights.content)
    names = card.ledger.names
    card.ledger.change(1, "retired")
    changed = card_of(card.model, PLANE.schema, card.encoder, card.backbone, card.ledger)
    content = encode_weights(changed, read_tensors(weights.content)).content
    learner, whole = learner_of(model), learner_of(model)
    assert learner.start_from(content, URI).classes == (names[0], names[2])
    whole.start_from(weights.content, URI)
    columns = columns_of(plane_batches(["a", "h", "p"], 1, 16)[0].events, PLANE.schema)
    kept = whole.probabilities(columns)[:, [0, 2]]
    assert np.allclose(learner.probabilities(columns), kept / kept.sum(axis=1, keepdims=True), atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16, torch.float64])
def test_layers_of_a_model_of_ones_own_are_mapped_by_name_whatever_their_precision(dtype: torch.dtype) -> None:
    model = mixed_model(BackboneConfig(kind="backbone_factories:two_layers"))
    learner = learner_of(model)
    width = capture(learner).tensors["network.backbone.module.0.weight"].shape[1]
    last = nn.Linear(7, 4)
    theirs = nn.Sequential(nn.Linear(width, 7), nn.Tanh(), last).to(dtype)
    tensors = dict(theirs.state_dict()) | {"classifier.weight": torch.zeros(9, 4)}
    mapped = learner.start_from(safetensors.torch.save(tensors), URI)
    assert mapped.taken == ("0.bias", "0.weight", "2.bias", "2.weight")
    assert mapped.left == ("classifier.weight",)
    assert "head.rows" in mapped.initial
    assert (mapped.classes, mapped.knows_inputs) == ((), False)
    found = capture(learner).tensors
    assert np.array_equal(found["network.backbone.module.2.weight"], last.weight.detach().float().numpy())


def test_a_part_of_the_layers_is_taken_and_the_rest_is_said() -> None:
    model = replace(PLANE, heads=LINEAR, backbone=BackboneConfig(hidden=(6, 5)))
    learner = learner_of(model)
    before = capture(learner).tensors
    mapped = learner.start_from(safetensors.torch.save({"layers.0.weight": torch.ones(6, 2)}), URI)
    after = capture(learner).tensors
    assert mapped.taken == ("layers.0.weight",)
    assert "backbone.layers.2.weight" in mapped.initial
    assert (after["network.backbone.layers.0.weight"] == 1).all()
    assert np.array_equal(after["network.backbone.layers.2.weight"], before["network.backbone.layers.2.weight"])


def test_scales_of_other_features_are_not_taken() -> None:
    model = replace(mixed_model(BACKBONES[0]), heads=LINEAR)
    renamed = tuple(replace(feature, name=f"my {feature.name}") for feature in FEATURES)
    other = replace(model, name="other", features=renamed)
    learner = learner_of(other)
    mapped = learner.start_from(taught(model).content, URI)
    assert not mapped.knows_inputs
    assert mapped.left == ("standardiser.inverse_deviation", "standardiser.mean")
    assert len(mapped.classes) == len(learner.class_names) > 10


def pickled() -> bytes:
    stream = io.BytesIO()
    torch.save({"layers.0.weight": torch.ones(2)}, stream)
    return stream.getvalue()


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "which is not a safetensors file"),
        (pickled(), "which is not a safetensors file: .* Pickled checkpoints are not read"),
        (
            safetensors.torch.save({"x": torch.ones(2)}),
            r"no tensor there is of this model: it has x; this model has .*",
        ),
        (
            safetensors.torch.save({"layers.0.weight": torch.ones(6, 3)}),
            r"its tensor 'layers.0.weight' has the shape \[6, 3\]; this model's has \[6, 2\]",
        ),
        (
            safetensors.torch.save({"layers.0.bias": torch.ones(6, dtype=torch.int64)}),
            "its tensor 'layers.0.bias' is of torch.int64; this model's is of torch.float32",
        ),
        (
            safetensors.torch.save({"layers.0.bias": torch.full((6,), torch.nan)}),
            "its tensor 'layers.0.bias' holds a value that is not finite",
        ),
        (
            safetensors.torch.save({"layers.0.bias": torch.ones(6)}, metadata={"penstock": "{}"}),
            "The weights file has format None",
        ),
    ],
    ids=["empty", "pickle", "nothing", "shape", "type", "nan", "card"],
)
def test_what_does_not_fit_is_refused_by_name_and_changes_nothing(content: bytes, sentence: str) -> None:
    model = replace(PLANE, heads=LINEAR, backbone=BackboneConfig(hidden=(6,)))
    learner, untouched = learner_of(model), learner_of(model)
    with pytest.raises(ConfigurationError, match=f"model.warm_start.uri is '{URI}'.*{sentence}"):
        learner.start_from(content, URI)
    assert_same(learner, untouched)


def test_a_head_of_another_width_is_refused() -> None:
    model = replace(PLANE, heads=LINEAR, backbone=BackboneConfig(hidden=(6,)))
    tensors = read_tensors(taught(model).content)
    tensors["head.rows"] = np.zeros((3, 9), dtype=np.float32)
    content = encode_weights(read_card(taught(model).content), tensors).content
    with pytest.raises(ConfigurationError, match=r"'head.rows' has the shape \[3, 9\]; this model's has \[3, 7\]"):
        learner_of(model).start_from(content, URI)


@pytest.mark.parametrize(
    "uri", ["s3://bucket/x", "https://host/x.safetensors", "models:/name", "models:/a/b", "runs:/x"]
)
def test_an_address_that_is_not_read_is_refused(uri: str) -> None:

    with pytest.raises(ConfigurationError, match=r"model\.warm_start\.uri is"):
        WarmStartConfig(uri=uri)
