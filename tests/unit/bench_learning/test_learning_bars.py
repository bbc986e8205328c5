"""The harness of the learning benchmark tells good from bad."""

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from bench_learning.configuration import settings_for
from bench_learning.lesson import Lesson
from bench_learning.measuring import Job, Measurement, measure
from bench_learning.playing import Figures, balanced_accuracy, play
from bench_learning.reported import reported_rows
from bench_learning.row import Bar, Measure, Row
from bench_learning.stream import Stream
from bench_learning.streams import digits
from bench_learning.table import lines_of, markdown, save
from penstock.errors import ConfigurationError
from penstock.learning.config import TrainingConfig

KNOWN_BAD = {"model.heads": '["linear"]', "training.learning_rate": "1e-9"}


def two_clouds(num_rows: int = 400) -> Stream:
    """Two classes that a line parts."""
    rng = np.random.default_rng(0)
    classes = rng.integers(0, 2, num_rows)
    rows = 6.0 * classes[:, None] + rng.normal(size=(num_rows, 3))
    half = num_rows // 2
    names = classes.astype(str)
    return Stream(rows=rows[:half], labels=names[:half], held_rows=rows[half:], held_labels=names[half:])


def test_a_learner_that_does_not_learn_misses_the_bar_of_split_digits() -> None:
    row = next(row for row in reported_rows() if row.key == "split-digits")
    figures = play(digits.split_digits(0), seed=0, batch_rows=32, overrides=KNOWN_BAD)
    lines = lines_of([row], [Measurement(row=row.key, seed=0, batch_rows=32, figures=figures)])
    assert [line.is_reached for line in lines] == [False, False]


def test_what_is_easy_is_learnt_and_scored_high() -> None:
    figures = play(two_clouds(), seed=0, batch_rows=1)
    assert figures["final"] > 0.95
    assert figures["prequential"] > 0.8


def test_the_first_event_of_all_is_never_a_hit() -> None:
    stream = two_clouds()
    lesson = Lesson(stream, seed=0, batch_rows=32)
    assert not lesson.teach(stream.rows[:1], stream.labels[:1]).any()


def test_hits_at_batches_of_one_are_what_a_replica_would_have_answered() -> None:
    stream = two_clouds()
    lesson = Lesson(stream, seed=0, batch_rows=1)
    for place in range(60):
        served = lesson.served_hits(stream.rows[[place]], stream.labels[[place]])
        assert lesson.teach(stream.rows[[place]], stream.labels[[place]]).tolist() == served.tolist()


def test_a_fork_learns_on_without_its_origin() -> None:
    stream = two_clouds()
    lesson = Lesson(stream, seed=0, batch_rows=32)
    lesson.teach(stream.rows[:96], stream.labels[:96])
    before = lesson.probabilities(stream.held_rows)
    fork = lesson.fork()
    assert np.array_equal(fork.probabilities(stream.held_rows), before)
    fork.teach(stream.rows[96:], stream.labels[96:])
    assert np.array_equal(lesson.probabilities(stream.held_rows), before)
    assert not np.array_equal(fork.probabilities(stream.held_rows), before)


def test_every_row_has_the_products_defaults() -> None:
    for stream in (two_clouds(), digits.split_digits(0)):
        settings = settings_for(stream, seed=0, batch_rows=32)
        assert settings.training == TrainingConfig(device="cpu", seed=0)


def test_another_default_reaches_the_learner_and_an_unknown_one_is_refused() -> None:
    assert (
        settings_for(two_clouds(), seed=0, batch_rows=1, overrides={"training.inner_steps": "7"}).training.inner_steps
        == 7
    )
    with pytest.raises(ConfigurationError, match="TRAINING__STEPS"):
        settings_for(two_clouds(), seed=0, batch_rows=1, overrides={"training.steps": "7"})


def test_balanced_accuracy_counts_a_rare_class_as_much_as_a_frequent_one() -> None:
    labels, answers = np.array(["a"] * 9 + ["b"]), np.array(["a"] * 10)
    assert balanced_accuracy(answers, labels) == 0.5


def row_with(*bars: Bar) -> Row:
    """A row that measures nothing itself."""

    def nothing(*, seed: int, batch_rows: int, overrides: Mapping[str, str] | None = None) -> Figures:
        raise AssertionError

    measure: Measure = nothing
    return Row(key="made-up", title="made up", measure=measure, bars=bars, seeds=(0, 1), batches=(32, 1))


def measurements(at_32: list[float], at_1: list[float]) -> list[Measurement]:
    """One figure `f` by seed and batch size."""
    return [
        Measurement(row="made-up", seed=seed, batch_rows=batch, figures={"f": value})
        for batch, values in ((32, at_32), (1, at_1))
        for seed, value in enumerate(values)
    ]


@pytest.mark.parametrize(
    ("bar", "at_32", "at_1", "reached"),
    [
        (Bar(figure="f", at=0.9), [0.9, 0.9], [0.8, 1.0], True),
        (Bar(figure="f", at=0.9), [0.9, 0.9], [0.8, 0.99], False),
        (Bar(figure="f", at=0.9), [0.89, 0.9], [1.0, 1.0], False),
        (Bar(figure="f", at=0.9, over="least"), [0.89, 1.0], [1.0, 1.0], False),
        (Bar(figure="f", at=0.1, sense="within"), [-0.3, 0.3], [0.1, 0.1], True),
        (Bar(figure="f", at=0.1, sense="within"), [-0.3, 0.0], [0.1, 0.1], False),
        (Bar(figure="f", at=0.1, sense="at most", over="most"), [0.1, 0.2], [0.0, 0.0], False),
        (Bar(figure="f", at=0.9), [float("nan")], [1.0], False),
        (Bar(figure="f", at=0.9), [1.0], [], False),
        (Bar(figure="g", at=0.9), [1.0], [1.0], False),
    ],
)
def test_a_bar_is_reached_only_if_every_batch_size_reaches_it(
    bar: Bar, at_32: list[float], at_1: list[float], reached: bool
) -> None:
    (line,) = lines_of([row_with(bar)], measurements(at_32, at_1))
    assert line.is_reached is reached
    assert ("missed" in markdown([line])) is not reached


def test_one_seed_that_fails_is_a_miss_and_says_why() -> None:
    found = [*measurements([1.0], [1.0]), Measurement(row="made-up", seed=1, batch_rows=32, missing="failed: no")]
    (line,) = lines_of([row_with(Bar(figure="f", at=0.9))], found)
    assert not line.is_reached
    assert "failed: no" in markdown([line])


def test_a_row_that_breaks_is_missing_and_does_not_end_the_run(capfd: pytest.CaptureFixture[str]) -> None:
    job = Job(row="sine", seed=0, batch_rows=32, development=False, overrides={"training.nothing": "1"})
    assert "ConfigurationError" in measure(job).missing
    assert "Traceback" in capfd.readouterr().err


def test_the_file_holds_every_measurement_and_verdict(tmp_path: Path) -> None:
    found = measurements([0.9, 0.9], [0.8, 1.0])
    save(tmp_path / "made" / "learning.json", lines_of([row_with(Bar(figure="f", at=0.9))], found), found, {})
    document = json.loads((tmp_path / "made" / "learning.json").read_text())
    assert document["lines"][0]["reached"] is True
    assert document["lines"][0]["values"] == {"32": [0.9, 0.9], "1": [0.8, 1.0]}
    assert len(document["measurements"]) == 4
