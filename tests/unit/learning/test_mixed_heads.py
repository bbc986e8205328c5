"""What the mixture promises on streams: nothing forgotten, changes followed, corrections kept, scores honest."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pytest
import torch

from labelled_rows import event_batch
from penstock.features import Feature
from penstock.flow import Alarm
from penstock.learning.config import HEADS, HeadName, ModelConfig, TrainingConfig
from penstock.learning.descending import num_steps_for
from penstock.learning.heads.ensemble import Ensemble
from penstock.learning.learner import Learner
from penstock.learning.predictor import Predictor
from penstock.replay.config import ReplayConfig

Floats = npt.NDArray[np.float64]
Labels = npt.NDArray[np.int64]

WIDTH = 6
COLUMNS = tuple(Feature(name=f"x{place}", kind="number") for place in range(WIDTH))


class Taught:
    """A learner of six number columns, and what it said on the way."""

    def __init__(self, capacity: int = 400, heads: tuple[HeadName, ...] = HEADS) -> None:
        self.model = ModelConfig(name="six", features=COLUMNS, heads=heads)
        replay = ReplayConfig(capacity=capacity)
        self.learner = Learner(self.model, TrainingConfig(device="cpu"), replay, topic="six.labels", max_events=256)
        self.alarms: list[Alarm] = []
        self.hits: list[npt.NDArray[np.bool_]] = []
        self._offset = 0

    @property
    def ensemble(self) -> Ensemble:
        assert self.learner._parts.ensemble is not None
        return self.learner._parts.ensemble

    def learn(self, rows: Floats, labels: Labels, batch_rows: int = 32) -> "Taught":
        for start in range(0, len(rows), batch_rows):
            some, theirs = rows[start : start + batch_rows], labels[start : start + batch_rows]
            names = [str(label) for label in theirs]
            report = self.learner.learn(
                event_batch(self.model.schema, self._columns(some), names, first_offset=self._offset)
            )
            self._offset += len(some)
            self.alarms += report.alarms
            self.hits.append(report.hits)
        return self

    def predictor(self) -> Predictor:
        content = self.learner.capture(epoch=1, version=1, mlflow_run_id=None, full_reservoir=True)[1].content
        return Predictor.from_weights(content, model=self.model, device=torch.device("cpu"))

    def answers(self, rows: Floats) -> Labels:
        predictor = self.predictor()
        found = predictor.probabilities(predictor.encode(self._columns(rows))).argmax(axis=1)
        answers: Labels = np.array([int(name) for name in predictor.class_names])[found]
        return answers

    def accuracy(self, rows: Floats, labels: Labels) -> float:
        return float((self.answers(rows) == labels).mean())

    def accuracy_of_members(self, rows: Floats, labels: Labels) -> dict[str, float]:
        parts, ensemble = self.learner._parts, self.ensemble
        encoded = parts.encoder.encode(self._columns(rows))
        linear = parts.network.logits(*parts.network.to_tensors(encoded)).numpy().astype(np.float64)
        scores = ensemble.answer(parts.ledger.live).scores(ensemble.inputs(encoded), linear)
        names = np.array([int(name) for name in self.learner.class_names])
        return {
            member: float((names[scores[place].argmax(axis=1)] == labels).mean())
            for place, member in enumerate(ensemble.members)
        }

    def _columns(self, rows: Floats) -> dict[str, Floats]:
        return {feature.name: np.ascontiguousarray(column) for feature, column in zip(COLUMNS, rows.T, strict=True)}


def clouds(count: int, classes: Sequence[int], *, seed: int, spread: float = 0.7) -> tuple[Floats, Labels]:
    """A cloud about a place of its own for each class."""
    generator = np.random.default_rng(seed)
    places = np.random.default_rng(99).normal(size=(100, WIDTH))
    labels = generator.choice(np.asarray(classes), count)
    return places[labels] + spread * generator.normal(size=(count, WIDTH)), labels


def tasks(rows_each: int = 160, *, spread: float = 0.5) -> Taught:
    """Five tasks of two classes, each class only in its own."""
    taught = Taught()
    for task in range(5):
        taught.learn(*clouds(rows_each, [2 * task, 2 * task + 1], seed=task, spread=spread))
    return taught


def flips(count: int, *, seed: int) -> tuple[Floats, Labels]:
    """Two classes by the sign of a column; negate the labels for another meaning."""
    rows = np.random.default_rng(seed).normal(size=(count, WIDTH))
    return rows, (rows[:, 0] + 0.5 * rows[:, 1] > 0).astype(np.int64)


def test_after_five_tasks_the_mixture_is_as_good_as_its_best_head_and_the_one_that_forgets_rules_nothing() -> None:
    taught = tasks()
    rows, labels = clouds(500, range(10), seed=77, spread=0.5)
    mixture = taught.accuracy(rows, labels)
    assert mixture >= max(taught.accuracy_of_members(rows, labels).values()) - 0.01
    assert mixture > 0.8
    assert taught.ensemble.weights_by_head["forgetting"] < 0.3


@pytest.mark.parametrize("spread", [0.5, 2.5])
def test_new_tasks_easy_or_hard_raise_no_alarm_and_the_analytic_head_keeps_every_event(spread: float) -> None:
    taught = tasks(spread=spread)
    assert taught.alarms == []
    assert taught.ensemble.analytic is not None
    assert taught.ensemble.analytic.counts.sum() == 800


def test_blurry_and_long_tailed_tasks_raise_no_alarm() -> None:
    taught, generator = Taught(), np.random.default_rng(0)
    for task in range(5):
        rows, labels = clouds(240 // (task + 1), [2 * task, 2 * task + 1], seed=task, spread=1.5)
        earlier, theirs = clouds(20, range(2 * task + 2), seed=50 + task, spread=1.5)
        order = generator.permutation(len(rows) + 20)
        taught.learn(np.concatenate((rows, earlier))[order], np.concatenate((labels, theirs))[order])
    assert taught.alarms == []


@pytest.mark.parametrize("batch_rows", [1, 32])
def test_flipped_labels_expire_both_classes_and_accuracy_comes_back(batch_rows: int) -> None:
    taught = Taught()
    rows, labels = flips(640, seed=0)
    taught.learn(rows, labels, batch_rows)
    assert taught.alarms == []
    more, theirs = flips(320, seed=1)
    taught.learn(more, 1 - theirs, batch_rows)
    assert [set(alarm.classes) for alarm in taught.alarms] == [{"0", "1"}]
    assert 620 <= taught.alarms[0].began_at < 680
    asked, asked_labels = flips(400, seed=2)
    assert taught.accuracy(asked, 1 - asked_labels) > 0.9


@pytest.mark.parametrize("batch_rows", [1, 32])
def test_where_two_of_four_classes_change_places_the_others_keep_all_that_is_kept_of_them(batch_rows: int) -> None:
    taught = Taught()
    taught.learn(*clouds(640, range(4), seed=0, spread=0.5))
    reservoir = taught.learner._parts.reservoir
    kept = {label: set(reservoir.priorities[reservoir.slot_classes == label].tolist()) for label in range(4)}
    names = [int(name) for name in taught.learner.class_names]
    rows, labels = clouds(64, range(4), seed=1, spread=0.5)
    taught.learn(rows, np.array([1, 0, 2, 3])[labels], batch_rows)
    assert [set(alarm.classes) for alarm in taught.alarms] == [{"0", "1"}]
    for label, name in enumerate(names):
        now = set(reservoir.priorities[reservoir.slot_classes == label].tolist())
        still = len(kept[label] & now) / len(kept[label])
        assert (still > 0.8) if name in (2, 3) else (still == 0)
    rows, labels = clouds(256, range(4), seed=2, spread=0.5)
    taught.learn(rows, np.array([1, 0, 2, 3])[labels], batch_rows)
    asked, theirs = clouds(400, range(4), seed=3, spread=0.5)
    assert taught.accuracy(asked, np.array([1, 0, 2, 3])[theirs]) > 0.85


@pytest.mark.parametrize("batch_rows", [1, 32])
def test_a_class_that_goes_by_the_name_of_another_from_now_on_is_not_remembered_by_its_old_one(batch_rows: int) -> None:
    """One class of four fails by half, so errors of all hardly rise; and the old name just stays away."""
    taught, now = Taught(), np.array([1, 1, 2, 3])
    taught.learn(*clouds(640, range(4), seed=0, spread=0.5))
    rows, labels = clouds(448, range(4), seed=1, spread=0.5)
    taught.learn(rows, now[labels], batch_rows)
    assert [set(alarm.classes) for alarm in taught.alarms] == [{"0", "1"}]
    asked, theirs = clouds(400, range(4), seed=2, spread=0.5)
    assert taught.accuracy(asked, now[theirs]) > 0.9


def test_where_two_of_ten_classes_change_places_they_alone_are_given_up() -> None:
    taught, now = Taught(), np.array([1, 0, *range(2, 10)])
    taught.learn(*clouds(1280, range(10), seed=0, spread=0.5))
    rows, labels = clouds(384, range(10), seed=1, spread=0.5)
    taught.learn(rows, now[labels])
    assert {name for alarm in taught.alarms for name in alarm.classes} == {"0", "1"}
    asked, theirs = clouds(600, range(10), seed=2, spread=0.5)
    right = taught.answers(asked) == now[theirs]
    assert right[theirs < 2].mean() > 0.8
    assert right[theirs >= 2].mean() > 0.8


def test_labels_that_last_are_seldom_taken_for_labels_that_mean_something_else() -> None:
    generator, count, memory = np.random.default_rng(1), 4000, 0.97
    noise = generator.normal(size=(count, WIDTH)) * np.sqrt(1 - memory**2)
    loads = np.zeros((count, WIDTH))
    for place in range(1, count):
        loads[place] = memory * loads[place - 1] + noise[place]
    labels = (loads.sum(axis=1) > 0).astype(np.int64)
    loads[:, : WIDTH // 2] = 0  # half of what decides is not among the columns, so errors come in runs
    assert len(Taught().learn(loads, labels).alarms) <= 12  # each run on one class for itself would be 22


def test_a_correction_flips_its_very_input_and_still_does_when_the_scale_of_the_stream_has_moved() -> None:
    """The exception is kept by the row itself, not by what standardising made of it that day."""
    taught = Taught()
    taught.learn(*clouds(400, range(4), seed=0))
    asked, labels = clouds(12, range(4), seed=8)
    others, _ = clouds(300, range(4), seed=9)
    before = taught.answers(others)
    for place in range(12):
        taught.learn(asked[[place]], np.array([(labels[place] + 1) % 4]))
        taught.learn(*clouds(25, range(4), seed=20 + place))
    assert taught.alarms == []
    assert taught.answers(asked).tolist() == ((labels + 1) % 4).tolist()
    assert (taught.answers(others) == before).mean() > 0.95
    moved, theirs = clouds(300, range(4), seed=10)
    taught.learn(3 * moved + 1, theirs)
    assert taught.answers(asked).tolist() == ((labels + 1) % 4).tolist()


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
