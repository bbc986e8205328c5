"""All of it together: drift is seen, named and recovered from; news is not drift; a checkpoint loses nothing."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.flow import Array, DriftAlarm, Json, Watched
from penstock.learning.watching.observed import ObservedRows
from penstock.learning.watching.watch import Watch
from watched_rows import in_batches, rows_of, stream

NAMES = tuple("abcdefgh")


def watch_all(watch: Watch, rows: ObservedRows, batch: int = 32) -> list[Watched]:
    """One event a millisecond."""
    return [
        watch.observe(part, num_events=len(part), class_names=NAMES, step=number, now_ms=watch.events + len(part))
        for number, part in enumerate(in_batches(rows, batch))
    ]


def raised(seen: list[Watched]) -> list[DriftAlarm]:
    return [alarm for each in seen for alarm in each.raised]


@pytest.mark.parametrize("batch", [1, 32, 256])
def test_drift_is_seen_named_by_class_and_recovered_from(batch: int) -> None:
    generator, watch = np.random.default_rng(0), Watch(0.999)
    assert raised(watch_all(watch, stream(6_000, [0.1] * 4, generator), batch)) == []
    (alarm,) = raised(watch_all(watch, stream(1_000, [0.1, 0.1, 0.9, 0.1], generator), batch))
    assert alarm.number == 1
    assert alarm.classes == ("c",)
    assert 6_000 < alarm.at_event == alarm.at_ms < 6_400 + batch
    assert alarm.before == pytest.approx(0.1, abs=0.02)
    assert alarm.size == pytest.approx(0.2, abs=0.08)
    seen = watch_all(watch, stream(3_000, [0.1] * 4, generator), batch)
    assert raised(seen) == []
    (recovered,) = [each for watched in seen for each in watched.recovered]
    assert recovered.number == 1
    assert recovered.recovered_after_events is not None
    assert recovered.recovered_after_events == pytest.approx(7_000 + 150 - alarm.at_event, abs=200 + batch)
    assert watch.alarms.count == 1


def test_a_model_that_becomes_better_raises_no_alarm() -> None:
    watch, generator = Watch(0.999), np.random.default_rng(1)
    for rate in (0.8, 0.5, 0.2, 0.05):
        assert raised(watch_all(watch, stream(2_000, [rate] * 3, generator))) == []


def test_new_classes_that_are_not_known_yet_raise_no_alarm() -> None:
    watch, generator = Watch(0.999), np.random.default_rng(2)
    watch_all(watch, stream(3_000, [0.02] * 2, generator))
    news = rows_of([2, 3, 4, 5, 6] * 29, [0] * 145)
    assert raised(watch_all(watch, news, 16)) == []
    assert watch.scores.accuracy < 0.9


def test_an_early_warning_is_counted() -> None:
    watch, generator = Watch(0.999), np.random.default_rng(3)
    watch_all(watch, stream(3_000, [0.1] * 2, generator))
    assert sum(each.warnings for each in watch_all(watch, stream(1_024, [0.5] * 2, generator))) >= 1


def test_details_are_of_every_row_and_asking_for_them_changes_nothing() -> None:
    rows = stream(1_000, [0.1, 0.4], np.random.default_rng(4))
    asked, left_alone = Watch(0.999), Watch(0.999)
    for part in in_batches(rows, 30):
        for watch in (asked, left_alone):
            watch.observe(part, num_events=len(part), class_names=NAMES, step=0, now_ms=0)
        details = asked.details()
        assert details.classes.rows.sum() == asked.events
        assert details.kappas.kappa == pytest.approx(2 * asked.scores.accuracy - 1, abs=0.15)
    assert_same(asked, left_alone)


def test_the_history_ends_close_to_the_present_and_holds_the_callers_figures() -> None:
    watch = Watch(0.999)
    for number, part in enumerate(in_batches(stream(5_000, [0.1] * 3, np.random.default_rng(5)), 64)):
        watch.observe(
            part, num_events=len(part), class_names=NAMES, step=number, now_ms=number, figures={"weight/linear": 0.25}
        )
    history = watch.details().history
    assert history.column("events")[-1] > 4_400
    assert history.column("accuracy")[-1] == pytest.approx(0.9, abs=0.03)
    assert history.column("weight/linear").tolist() == [0.25] * len(history)
    assert history.recalls.shape == (3, len(history))


@settings(max_examples=25, deadline=None)
@given(
    cuts=st.sets(st.integers(0, 60), min_size=1, max_size=4),
    batch=st.sampled_from([1, 50, 100, 600]),
    seed=st.integers(0, 50),
)
def test_cut_anywhere_and_restored_it_goes_on_to_the_bit(cuts: set[int], batch: int, seed: int) -> None:
    generator = np.random.default_rng(seed)
    parts = [stream(1_500, rates, generator) for rates in ([0.1] * 3, [0.1, 0.9, 0.1, 0.2], [0.05] * 5)]
    batches = list(in_batches(ObservedRows.joined(parts), batch))[-60 if batch == 1 else 0 :]
    whole, cut = Watch(0.99), Watch(0.99)
    for number, part in enumerate(batches):
        if number in cuts:
            tensors, state = through_a_file(cut)
            cut = Watch(0.99)
            cut.restore(tensors, state)
        seen = [
            watch.observe(
                part, num_events=len(part), class_names=NAMES, step=number, now_ms=20 * number, figures={"x": number}
            )
            for watch in (whole, cut)
        ]
        assert seen[0] == seen[1]
    assert_same(whole, cut)


def through_a_file(watch: Watch) -> tuple[dict[str, Array], dict[str, Json]]:
    """As a checkpoint brings it back: JSON text, and arrays that must not be written to."""
    tensors = {name: array.copy() for name, array in watch.tensors().items()}
    for array in tensors.values():
        array.setflags(write=False)
    return tensors, json.loads(json.dumps(watch.state()))


def assert_same(one: Watch, other: Watch) -> None:
    assert one.state() == other.state()
    first, second = one.tensors(), other.tensors()
    assert first.keys() == second.keys()
    for name, array in first.items():
        assert (array.shape, array.tobytes()) == (second[name].shape, second[name].tobytes()), name
