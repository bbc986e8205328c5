"""What one micro-batch does to the learner, and what it never does."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from labelled_rows import PLANE, event_batch, plane_batches, points_of_classes
from penstock.errors import ConfigurationError, DivergedError
from penstock.features import Feature
from penstock.flow import Checkpoint, Weights
from penstock.learning.config import BackboneConfig, ModelConfig, TrainingConfig
from penstock.learning.device import choose_device, denormals_flushed
from penstock.learning.learner import Learner
from penstock.learning.predictor import Predictor
from penstock.replay.config import ReplayConfig

TRAINING = TrainingConfig(device="cpu", learning_rate=0.01, inner_steps=3)
LINEAR = replace(PLANE, heads=("linear",))


def learner_of(
    model: ModelConfig = PLANE,
    training: TrainingConfig = TRAINING,
    replay: ReplayConfig | None = None,
    *,
    max_events: int = 256,
) -> Learner:
    return Learner(model, training, replay or ReplayConfig(capacity=60), topic="plane.labels", max_events=max_events)


def captured(learner: Learner) -> tuple[Checkpoint, Weights]:
    return learner.capture(epoch=1, version=1, mlflow_run_id=None, full_reservoir=True)


def test_a_report_tells_what_the_batch_held_and_showed() -> None:
    learner = learner_of()
    points, _ = points_of_classes(["b", "a"], 5, seed=0)
    report = learner.learn(event_batch(PLANE.schema, {"point": points}, ["b", "a", "b", "b", "a"], first_offset=70))
    assert report.step == learner.step == 1
    assert report.num_events == learner.events_learnt == 5
    assert report.events_by_class == {"b": 3, "a": 2}
    assert report.new_classes == learner.class_names == ("b", "a")
    assert report.num_classes == 2
    assert report.reservoir_rows == 5
    assert report.trained_until_ms == learner.trained_until_ms == 74
    assert learner.offsets.to_json() == {"0": 75}
    assert report.prequential_accuracy < 0.5
    assert report.step_seconds > 0
    assert report.labels.tolist() == [0, 1, 0, 0, 1]
    assert report.predicted.tolist()[:2] == [-1, 0]
    assert report.hits.tolist() == (report.labels == report.predicted).tolist()
    assert ((report.true_probability >= 0) & (report.true_probability <= 1)).all()
    assert sum(report.weights_by_head.values()) == pytest.approx(1)


def test_a_batch_without_rows_moves_offsets_and_step_alone() -> None:
    learner = learner_of()
    for batch in plane_batches(["b", "a"], 3, 20):
        learner.learn(batch)
    before = captured(learner)[1]
    report = learner.learn(event_batch(PLANE.schema, {"point": np.zeros((0, 2))}, [], first_offset=500))
    assert (report.step, report.num_events, report.events_by_class) == (4, 0, {})
    assert learner.offsets.to_json() == {"0": 500}
    assert learner.events_learnt == 60
    assert learner.trained_until_ms == 59
    assert captured(learner)[1].sha256 == before.sha256


def test_a_class_never_seen_counts_as_missed_at_the_loss_of_an_even_guess() -> None:
    learner = learner_of(LINEAR)
    points, _ = points_of_classes(["a", "b"], 4, seed=0)
    first = learner.learn(event_batch(PLANE.schema, {"point": points}, ["a", "b", "a", "b"]))
    assert first.prequential_loss == 0  # ln(0 + 1): nothing else could have been said
    fading = TRAINING.prequential_fading
    second = learner.learn(event_batch(PLANE.schema, {"point": points[:1]}, ["c"], first_offset=4))
    seen = sum(fading**age for age in range(5))
    assert second.prequential_loss == pytest.approx(np.log(3) / seen)
    assert second.prequential_accuracy == 0


def test_it_learns_and_says_so_by_class() -> None:
    learner = learner_of()
    for batch in plane_batches(["a", "k", "u"], 30, 32):
        report = learner.learn(batch)
    assert report.prequential_accuracy > 0.9
    assert learner.recall_by_class().keys() == {"a", "k", "u"}
    assert min(learner.recall_by_class().values()) > 0.9
    assert report.reservoir_rows == 45, "a quarter of the 60 are the window's"


def test_batches_are_learnt_in_slices_of_at_most_max_events() -> None:
    whole, sliced = learner_of(max_events=8), learner_of(max_events=8)
    points, labels = points_of_classes(["a", "k"], 20, seed=0)
    report = whole.learn(event_batch(PLANE.schema, {"point": points}, labels))
    for start in (0, 8, 16):
        stop = start + 8
        sliced.learn(event_batch(PLANE.schema, {"point": points[start:stop]}, labels[start:stop], first_offset=start))
    assert report.step == 1
    assert sum(report.events_by_class.values()) == 20
    assert captured(whole)[1].sha256 == captured(sliced)[1].sha256


def test_one_event_of_a_name_that_sorts_first_leaves_old_classes_in_place() -> None:
    learner = learner_of()
    for batch in plane_batches(["m", "u", "z"], 20, 32):
        learner.learn(batch)
    points, labels = points_of_classes(["m", "u", "z"], 200, seed=99)
    before = predictor_of(learner)
    learner.learn(event_batch(PLANE.schema, {"point": np.array([[9.0, 9.0]])}, ["a"], first_offset=1000))
    after = predictor_of(learner)
    assert after.class_names[:3] == before.class_names
    assert accuracy(before, points, labels) > 0.9
    assert accuracy(after, points, labels) > 0.9


def test_a_thousand_new_classes_in_one_batch_are_learnt() -> None:
    learner = learner_of()
    for batch in plane_batches(["m", "u"], 5, 32):
        learner.learn(batch)
    names = [f"class-{number}" for number in range(1000)]
    points = np.random.default_rng(0).normal(size=(1000, 2))
    report = learner.learn(event_batch(PLANE.schema, {"point": points}, names, first_offset=160))
    assert report.num_classes == 1002
    assert report.new_classes == tuple(names)
    assert report.reservoir_rows == 45
    assert np.isfinite(captured(learner)[0].tensors["network.head.rows"]).all()
    learner.learn(event_batch(PLANE.schema, {"point": points}, names, first_offset=1160))


@pytest.mark.parametrize("weight", [2, 3])
def test_an_event_of_weight_w_is_w_repeats_within_a_step(weight: int) -> None:
    """Without replay and births: a step's loss is the weighted mean, so weighing and repeating are the same sum."""
    points, labels = points_of_classes(["a", "k", "u"], 12, seed=3)
    weights = [weight if place % 3 == 0 else 1 for place in range(12)]
    repeats = np.repeat(np.arange(12), weights)
    weighed, repeated = (learner_of(LINEAR, replay=ReplayConfig(capacity=0)) for _ in range(2))
    for learner in (weighed, repeated):
        for batch in plane_batches(["a", "k", "u"], 5, 32):
            learner.learn(batch)
    weighed.learn(
        event_batch(PLANE.schema, {"point": points}, labels, first_offset=160, weights=[float(w) for w in weights])
    )
    repeated.learn(
        event_batch(PLANE.schema, {"point": points[repeats]}, [labels[i] for i in repeats], first_offset=160)
    )
    for (name, one), other in zip(
        captured(weighed)[0].tensors.items(), captured(repeated)[0].tensors.values(), strict=True
    ):
        if name.startswith("network."):
            assert one == pytest.approx(other, abs=1e-5), name


@pytest.mark.parametrize("weights", [[1e-300, 1e-300], [1.7e308, 1.7e308], [1e-300, 1.7e308]])
def test_absurd_weights_do_not_stop_the_training(weights: list[float]) -> None:
    learner = learner_of()
    points = np.array([[0.0, 1.0], [1.0, 0.0]])
    for first in range(0, 20, 2):
        report = learner.learn(
            event_batch(PLANE.schema, {"point": points}, ["a", "b"], first_offset=first, weights=weights)
        )
    assert np.isfinite(report.loss)


def test_replay_keeps_a_class_that_no_longer_comes() -> None:
    points, labels = points_of_classes(["a", "u"], 300, seed=77)
    kept = {}
    for capacity in (0, 100):
        learner = learner_of(LINEAR, replay=ReplayConfig(capacity=capacity))
        for name, first in (("a", 0), ("u", 1000)):
            for batch in plane_batches([name], 15, 32, first_offset=first):
                learner.learn(batch)
        kept[capacity] = accuracy(predictor_of(learner), points, labels)
    assert kept[0] < 0.7
    assert kept[100] > 0.95


def test_only_the_fresh_rows_are_scored_and_counted() -> None:
    learner = learner_of()
    for batch in plane_batches(["a", "k"], 10, 16):
        report = learner.learn(batch)
        assert report.num_events == 16
        assert sum(report.events_by_class.values()) == 16
    assert learner.events_learnt == 160


@pytest.mark.parametrize("model", [PLANE, LINEAR], ids=["mixed", "linear"])
def test_rows_are_predicted_before_they_are_learnt(model: ModelConfig) -> None:
    learner = learner_of(model)
    batches = plane_batches(["a", "i", "q"], 8, 24, seed=3)
    for batch in batches[:-1]:
        learner.learn(batch)
    points, labels = points_of_classes(["a", "i", "q"], 8, seed=3)  # so few are learnt at once, by all heads
    index = {name: at for at, name in enumerate(learner.class_names)}
    others = [learner.class_names[(index[label] + 1) % 3] for label in labels]
    expected = learner.probabilities({"point": points.astype(np.float32)})
    report = learner.learn(event_batch(PLANE.schema, {"point": points}, others, first_offset=7 * 24))
    assert report.hits.sum() <= 1, "labels that were moved on are not foreseen"
    assert report.predicted.tolist() == expected.argmax(axis=1).tolist()
    truly = expected[np.arange(8), [index[label] for label in others]]
    assert report.true_probability == pytest.approx(truly, abs=1e-5)
    after = learner.probabilities({"point": points.astype(np.float32)})
    assert np.abs(after - expected).max() > 0.01, "it has learnt from them since"


@pytest.mark.parametrize("kind", ["with_dropout", "partly_frozen", "wholly_frozen", "lazy"])
def test_an_operators_own_backbone_learns(kind: str) -> None:
    model = ModelConfig(
        name="plane", features=PLANE.features, backbone=BackboneConfig(kind=f"backbone_factories:{kind}")
    )
    learner = learner_of(model)
    for batch in plane_batches(["a", "u"], 40, 32):
        report = learner.learn(batch)
    assert report.prequential_accuracy > 0.8


def test_frozen_parameters_do_not_move() -> None:
    model = ModelConfig(
        name="plane", features=PLANE.features, backbone=BackboneConfig(kind="backbone_factories:partly_frozen")
    )
    learner = learner_of(model)
    states = []
    for batch in plane_batches(["a", "u"], 10, 32):
        learner.learn(batch)
        states.append(captured(learner)[0].tensors)
    assert np.array_equal(states[0]["network.backbone.module.0.weight"], states[-1]["network.backbone.module.0.weight"])
    assert (states[0]["network.backbone.module.2.weight"] != states[-1]["network.backbone.module.2.weight"]).any()


def test_the_padding_row_of_the_embedding_stays_zero_and_unread_words_keep_still() -> None:
    model = ModelConfig(
        name="mail",
        features=(Feature(name="subject", kind="text"),),
        backbone=BackboneConfig(kind="text", embedding_buckets=500, hidden=(8,)),
    )
    learner = learner_of(model)
    tables = [captured(learner)[0].tensors["network.backbone.table.weight"]]
    for number in range(5):
        batch = event_batch(
            model.schema, {"subject": ["buy now", "see you at noon"] * 8}, ["spam", "ham"] * 8, first_offset=16 * number
        )
        report = learner.learn(batch)
    tables.append(captured(learner)[0].tensors["network.backbone.table.weight"])
    assert not tables[1][0].any()
    assert (tables[0] != tables[1]).any(axis=1).sum() <= 6
    assert report.loss < 0.5


def test_torchs_global_generator_is_left_alone() -> None:
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    model = ModelConfig(
        name="plane", features=PLANE.features, backbone=BackboneConfig(kind="backbone_factories:with_dropout")
    )
    learner = learner_of(model)
    for batch in plane_batches(["a", "u"], 3, 8):
        learner.learn(batch)
    assert torch.equal(torch.rand(2), expected)


def test_a_loss_that_is_not_finite_stops_with_a_sentence_naming_the_learning_rate() -> None:
    learner = learner_of(training=TrainingConfig(device="cpu", learning_rate=1e38))

    def learn_and_capture() -> None:
        for batch in plane_batches(["a", "u"], 20, 32):
            learner.learn(batch)
            captured(learner)

    with pytest.raises(DivergedError, match=r"training\.learning_rate is 1e\+38"):
        learn_and_capture()


def test_cuda_where_there_is_none_is_refused_with_a_sentence() -> None:
    if torch.cuda.is_available():
        assert choose_device("cuda").type == "cuda"
    else:
        assert choose_device("auto").type == "cpu"
        with pytest.raises(ConfigurationError, match=r"training\.device is 'cuda' but torch finds no CUDA device"):
            choose_device("cuda")
        with pytest.raises(ConfigurationError, match=r"serving\.device is 'cuda'"):
            choose_device("cuda", "serving.device")


def predictor_of(learner: Learner) -> Predictor:
    return Predictor.from_weights(captured(learner)[1].content, model=PLANE, device=torch.device("cpu"))


def accuracy(predictor: Predictor, points: np.ndarray, labels: list[str]) -> float:
    found = predictor.probabilities(predictor.encode({"point": points.astype(np.float32)})).argmax(axis=1)
    return float(np.mean([predictor.class_names[index] == label for index, label in zip(found, labels, strict=True)]))


def test_numbers_too_small_to_matter_are_zero_while_learning_and_ordinary_again_afterwards() -> None:
    tiny = torch.tensor(1e-39)
    can_flush = torch.set_flush_denormal(False)
    with denormals_flushed():
        assert (float(tiny * 1.0) == 0) == can_flush
    assert float(tiny * 1.0) > 0
