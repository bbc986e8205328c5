"""What the mixture promises on streams: nothing forgotten, changes followed, corrections kept, scores honest."""

import numpy as np
import pytest

from labelled_rows import event_batch
from penstock.features import Feature
from penstock.learning.config import HeadName, ModelConfig, TrainingConfig
from penstock.learning.descending import num_steps_for
from penstock.learning.learner import Learner
from penstock.replay.config import ReplayConfig
from taught_clouds import WIDTH, Floats, Labels, Taught, clouds, tasks


def test_after_five_tasks_the_mixture_is_as_good_as_its_best_head_and_the_one_that_forgets_rules_nothing() -> None:
    taught = tasks()
    rows, labels = clouds(500, range(10), seed=77, spread=0.5)
    mixture = taught.accuracy(rows, labels)
    assert mixture >= max(taught.accuracy_of_members(rows, labels).values()) - 0.01
    assert mixture > 0.8
    assert taught.ensemble.weights_by_head["forgetting"] < 0.3


def test_a_new_class_is_predicted_from_its_first_event_and_solved_for_at_once() -> None:
    taught = Taught()
    taught.learn(*clouds(300, range(3), seed=0))
    rows, labels = clouds(1, [50], seed=1, spread=0.1)
    taught.learn(rows, labels)
    assert taught.ensemble.analytic is not None
    assert taught.ensemble.analytic.readout is not None
    assert np.isfinite(taught.ensemble.analytic.readout.biases).all()
    asked, theirs = clouds(40, [50], seed=2, spread=0.3)
    assert taught.accuracy(asked, theirs) > 0.9


def test_within_one_micro_batch_a_new_class_is_known_to_the_rows_after_its_first() -> None:
    taught = Taught()
    taught.learn(*clouds(320, range(3), seed=0, spread=0.2))
    rows, labels = clouds(32, [50], seed=1, spread=0.2)
    taught.learn(rows, labels)
    assert taught.hits[-1].tolist()[0] is False
    assert taught.hits[-1][1:].mean() > 0.9


def test_rows_held_back_are_no_better_known_to_a_head_that_merely_memorises() -> None:
    """Labels are noise here: whoever answers held rows better than by chance has seen them."""
    generator = np.random.default_rng(0)
    taught = Taught()
    for task in range(4):
        taught.learn(generator.normal(size=(160, WIDTH)), generator.integers(2 * task, 2 * task + 2, 160))
    ensemble, reservoir = taught.ensemble, taught.learner._parts.reservoir
    places = np.arange(len(ensemble.held.slots))
    places = places[ensemble.held.are_still_held(places, reservoir)]
    network = taught.learner._parts.network

    def linear_at(slots: Labels) -> Floats:
        rows = reservoir.at(slots)
        return network.logits(rows.dense, rows.tokens).numpy().astype(np.float64)

    scores = ensemble.held.scores(ensemble.answer(np.ones(8, dtype=np.bool_)), places, reservoir, linear_at)
    labels = ensemble.held.classes[places]
    assert len(places) > 40
    for member, of_member in zip(ensemble.members, scores, strict=True):
        assert (of_member.argmax(axis=1) == labels).mean() < 0.45, member
    known = np.exp(ensemble.instances.far.scores(ensemble.inputs(reservoir.encoded_at(ensemble.held.slots[places])), 8))  # type: ignore[union-attr]
    assert (known.argmax(axis=1) == labels).mean() > 0.6, "without leaving them out, the nearest rows do know"


def test_held_rows_are_scored_as_of_a_solve_that_had_learnt_them() -> None:
    taught = tasks()
    ensemble, reservoir = taught.ensemble, taught.learner._parts.reservoir
    assert len(ensemble.held.late_scores()()) == len(ensemble.held.slots)
    times = reservoir._times[ensemble.held.slots]
    assert (times < ensemble.solving.at).all()


def test_rare_classes_that_move_are_not_held_against_heads_that_follow_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Old rows of a class that is merely rare would mislead the weights."""
    generator = np.random.default_rng(0)
    labels = (generator.random(2500) < 0.12).astype(np.int64)
    centres = np.stack((np.linspace(0, 4, 2500), np.linspace(2, -2, 2500)), axis=1)
    rows = generator.normal(size=(2500, WIDTH))
    rows[:, 0] += centres[np.arange(2500), labels]
    with_top_up = np.concatenate(Taught().learn(rows, labels).hits).mean()
    monkeypatch.setattr("penstock.learning.heads.held_rows.MOST_TOP_UP", 0)
    without = np.concatenate(Taught().learn(rows, labels).hits).mean()
    assert with_top_up >= without - 0.01


@pytest.mark.parametrize("num_fresh", [1, 2, 8, 17, 32, 64])
def test_an_event_brings_about_thirty_row_gradients_however_few_come_at_once(num_fresh: int) -> None:
    num_drawn = 31 if num_fresh == 1 else 64
    steps = num_steps_for("auto", num_fresh, num_drawn, is_busy=False)
    assert 1 <= steps <= 10
    assert steps * (num_fresh + num_drawn) / num_fresh <= 45
    assert num_steps_for("auto", num_fresh, num_drawn, is_busy=True) == 1
    assert num_steps_for(7, num_fresh, num_drawn, is_busy=True) == 7


@pytest.mark.parametrize("heads", [("analytic",), ("instances",), ("linear", "instances"), ("analytic", "instances")])
def test_any_of_the_heads_learn_without_the_others(heads: tuple[HeadName, ...]) -> None:
    taught = Taught(heads=heads).learn(*clouds(400, range(4), seed=0))
    rows, labels = clouds(200, range(4), seed=1)
    assert taught.accuracy(rows, labels) > 0.8
    assert taught.learner.probabilities(taught._columns(rows)) == pytest.approx(
        taught.predictor().probabilities(taught.predictor().encode(taught._columns(rows))), abs=1e-6
    )


def test_without_memory_the_heads_that_need_none_still_learn() -> None:
    rows, labels = clouds(200, range(4), seed=1)
    assert Taught(capacity=0).learn(*clouds(400, range(4), seed=0)).accuracy(rows, labels) > 0.8


def test_a_busy_stream_is_scored_on_a_sample_and_learnt_whole() -> None:
    taught = Taught(capacity=2000)
    taught.learn(*clouds(256 * 20, range(4), seed=0), batch_rows=256)
    assert taught.ensemble.analytic is not None
    assert taught.ensemble.analytic.counts.sum() == 256 * 20
    assert len(taught.hits[-1]) == 32
    assert taught.accuracy(*clouds(300, range(4), seed=1)) > 0.85


def test_a_correction_among_a_busy_stream_is_kept_wherever_it_stands() -> None:
    taught = Taught(capacity=2000)
    taught.learn(*clouds(256 * 12, range(4), seed=0, spread=0.3), batch_rows=256)
    rows, labels = clouds(256, range(4), seed=5, spread=0.3)
    corrected = np.arange(40, 52)
    labels[corrected] = (labels[corrected] + 1) % 4
    taught.learn(rows, labels, batch_rows=256)
    assert (taught.answers(rows[corrected]) == labels[corrected]).mean() > 0.9


def test_the_weights_file_of_vectors_of_64_fits_inline() -> None:
    model = ModelConfig(name="wide", features=(Feature(name="x", kind="vector", width=64),))
    learner = Learner(model, TrainingConfig(device="cpu"), ReplayConfig(), topic="wide.labels", max_events=256)
    generator = np.random.default_rng(0)
    for number in range(12):
        rows, labels = generator.normal(size=(256, 64)), [str(label) for label in generator.integers(0, 10, 256)]
        learner.learn(event_batch(model.schema, {"x": rows}, labels, first_offset=256 * number))
    _, weights = learner.capture(epoch=1, version=1, mlflow_run_id=None, full_reservoir=True)
    assert weights.size_bytes < 400_000


def test_ten_thousand_classes_a_thousand_at_once_learn_and_answer() -> None:
    taught = Taught(capacity=1000)
    taught.learn(*clouds(300, range(5), seed=0))
    generator = np.random.default_rng(1)
    for first in range(100, 10_100, 1000):
        taught.learn(generator.normal(size=(1000, WIDTH)) * 5, np.arange(first, first + 1000), batch_rows=1000)
    assert len(taught.learner.class_names) == 10_005
    assert taught.ensemble.members == ("linear", "analytic")
    rows, _ = clouds(50, range(5), seed=3)
    found = taught.predictor().probabilities(taught.predictor().encode(taught._columns(rows)))
    assert found.shape == (50, 10_005)
    assert np.isfinite(found).all()
