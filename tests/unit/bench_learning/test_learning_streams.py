"""The streams of the learning benchmark are what the table says they are."""

import numpy as np
import pytest

from bench_learning.development import development_rows
from bench_learning.reported import reported_rows
from bench_learning.stream import Stream, StreamOf
from bench_learning.streams import blobs, digits, drifting, letters, other_generators, recorded, worlds

SEEDED = [
    digits.split_digits,
    digits.blurry_digits,
    digits.long_tail_falling,
    digits.long_tail_random,
    drifting.sine_flips,
    drifting.moving_centroids,
    drifting.turning_hyperplane,
    drifting.sea_abrupt,
    drifting.led_drift,
    letters.split_letters,
    blobs.hard_tasks,
    worlds.habits,
    worlds.question_sheets,
    other_generators.stagger_changes,
]


@pytest.mark.parametrize("stream_of", SEEDED, ids=lambda stream_of: stream_of.__name__)
def test_the_same_seed_gives_the_same_rows_and_another_gives_others(stream_of: StreamOf) -> None:
    first, again, other = stream_of(3), stream_of(3), stream_of(4)
    assert np.array_equal(first.rows, again.rows)
    assert np.array_equal(first.labels, again.labels)
    assert np.array_equal(first.held_rows, again.held_rows)
    assert first.rows.shape != other.rows.shape or not np.array_equal(first.rows, other.rows)


@pytest.mark.parametrize("stream_of", [digits.split_digits, digits.blurry_digits, letters.split_letters])
def test_no_held_row_ever_arrives(stream_of: StreamOf) -> None:
    stream = stream_of(0)
    arrived = {row.tobytes() for row in stream.rows}
    held = [row.tobytes() in arrived for row in stream.held_rows]
    assert sum(held) <= 2  # two images of a set may be alike; none is in both parts
    assert len(stream) + len(stream.held_labels) >= 1797
    assert set(stream.held_labels) == set(stream.labels)


def test_split_digits_come_two_classes_at_a_time_in_label_order() -> None:
    tasks = split_at_changes(digits.split_digits(0))
    assert tasks == [{"0", "1"}, {"2", "3"}, {"4", "5"}, {"6", "7"}, {"8", "9"}]


@pytest.mark.parametrize("seed", range(100, 103))
def test_about_every_other_question_sheet_is_filled_in_as_one_before(seed: int) -> None:
    stream = worlds.question_sheets(seed)
    assert 0.4 < len(np.unique(stream.rows, axis=0)) / len(stream) < 0.7
    assert {len(np.unique(column)) for column in stream.rows.T} == {3}


def test_blurry_borders_mix_neighbouring_tasks_only_a_little() -> None:
    labels = digits.blurry_digits(0).labels
    spans = [np.ptp(np.flatnonzero(labels == name)) for name in np.unique(labels)]
    assert all(len(labels) / 5 < span < 2.3 * len(labels) / 5 for span in spans)


@pytest.mark.parametrize("stream_of", [digits.long_tail_falling, digits.long_tail_random])
def test_the_longest_class_of_a_long_tail_is_thirty_times_the_shortest(stream_of: StreamOf) -> None:
    _, counts = np.unique(stream_of(0).labels, return_counts=True)
    assert max(counts) / min(counts) == pytest.approx(30, rel=0.1)


def test_a_label_flip_turns_every_label_round() -> None:
    stream = drifting.sine_flips(0)
    beyond = stream.rows[:, 0] >= np.sin(stream.rows[:, 1])
    agree = [np.mean((stream.labels == "0")[part] == beyond[part]) for part in np.split(np.arange(10_000), 4)]
    assert all(share in (0.0, 1.0) for share in agree)
    assert agree[0] == agree[2] != agree[1] == agree[3]


def test_generated_labels_do_not_simply_alternate() -> None:
    for stream_of in (drifting.sine_flips, drifting.sea_abrupt, drifting.turning_hyperplane):
        labels = stream_of(0).labels
        assert 0.3 < np.mean(labels[1:] == labels[:-1]) < 0.7


def test_recorded_sets_have_the_size_they_are_known_for() -> None:
    sizes = [stream_of(0).rows.shape for stream_of in (recorded.image_segments, recorded.bananas, recorded.phishing)]
    assert sizes == [(2310, 18), (5300, 2), (1250, 9)]


def test_habits_last_about_as_long_as_those_of_a_market() -> None:
    labels = worlds.habits(100).labels
    assert 0.8 < np.mean(labels[1:] == labels[:-1]) < 0.92


def test_nothing_that_is_reported_is_developed_on() -> None:
    reported, development = reported_rows(), development_rows()
    assert not {row.key for row in reported} & {row.key for row in development}
    assert not {seed for row in reported for seed in row.seeds} & {seed for row in development for seed in row.seeds}


def split_at_changes(stream: Stream) -> list[set[str]]:
    """The classes of each fifth or so, cut where a class arrives that was not there before."""
    tasks: list[set[str]] = [set()]
    seen: set[str] = set()
    for start in range(0, len(stream), 20):
        here = set(stream.labels[start : start + 20].tolist())
        if here <= tasks[-1] or not tasks[-1]:
            tasks[-1] |= here
        elif not here & tasks[-1] or len(tasks[-1]) == 2:
            tasks.append(here - seen)
        seen |= here
    return tasks
