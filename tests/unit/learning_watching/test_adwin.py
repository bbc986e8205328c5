"""The alarm decides what river's does, is silent on a constant rate, and finds a change when it should."""

import json
import subprocess
import sys

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from river import drift

from penstock.learning.watching.adwin import Adwin, Change

Errors = npt.NDArray[np.bool_]


def errors_of(segments: list[tuple[int, float]], seed: int) -> Errors:
    generator = np.random.default_rng(seed)
    return np.concatenate([generator.random(length) < rate for length, rate in segments])


def changes_in(errors: Errors, batch: int, adwin: Adwin | None = None) -> list[int]:
    detector = adwin or Adwin()
    return [
        start + change.place
        for start in range(0, len(errors), batch)
        for change in detector.update(errors[start : start + batch])
    ]


SEGMENTS = st.lists(
    st.tuples(st.integers(1, 700), st.sampled_from([0, 0.05, 0.2, 0.5, 0.9, 1])), min_size=1, max_size=6
)


@settings(max_examples=60, deadline=None)
@given(segments=SEGMENTS, seed=st.integers(0, 1000), batch=st.sampled_from([1, 7, 32, 256, 5000]))
def test_it_finds_what_river_finds_where_river_finds_it(
    segments: list[tuple[int, float]], seed: int, batch: int
) -> None:
    errors, theirs, found = errors_of(segments, seed), drift.ADWIN(delta=0.002), []
    for place, error in enumerate(errors.tolist()):
        theirs.update(error)
        if theirs.drift_detected:
            found.append(place)
    ours = Adwin()
    assert changes_in(errors, batch, ours) == found
    if not theirs.drift_detected:  # else river empties its window with the next error
        assert ours.width == theirs.width
        assert ours.mean == pytest.approx(theirs.estimation)


def test_three_hundred_thousand_errors_of_a_constant_rate_raise_no_alarm() -> None:
    for seed, rate in enumerate([0.05, 0.2, 0.2, 0.5]):
        assert changes_in(errors_of([(300_000, rate)], seed), 256) == []


def test_a_rise_from_a_fifth_to_a_third_is_found_after_some_239_events() -> None:
    delays = []
    for seed in range(101):
        found = [place - 2000 for place in changes_in(errors_of([(2000, 0.2), (3000, 0.35)], seed), 256)]
        delays.append(next(delay for delay in found if delay >= 0))
    assert 200 <= np.median(delays) <= 280


def test_a_change_tells_when_it_happened_and_the_means_on_both_sides() -> None:
    change = Adwin().update(errors_of([(4000, 0.1), (1000, 0.6)], 0))[0]
    assert change.before == pytest.approx(0.1, abs=0.02)
    assert change.after == pytest.approx(0.6, abs=0.2)
    assert 4000 < change.place < 4200
    assert change.place + 1 - change.num_after == pytest.approx(4000, abs=15)


def test_a_change_for_the_better_is_told_as_one() -> None:
    change = Adwin().update(errors_of([(1000, 0.8), (1000, 0.3)], 0))[0]
    assert change.before == pytest.approx(0.8, abs=0.05)
    assert change.after == pytest.approx(0.3, abs=0.15)


def test_means_of_a_change_are_the_same_however_the_errors_are_cut() -> None:
    errors, pieces = errors_of([(3000, 0.1), (900, 0.6), (900, 0.1)], 5), Adwin()
    in_pieces = [change for start in range(0, len(errors), 17) for change in pieces.update(errors[start : start + 17])]
    assert len(in_pieces) >= 2
    assert means(in_pieces) == means(Adwin().update(errors))


def means(changes: list[Change]) -> list[tuple[float, float, int]]:
    return [(change.before, change.after, change.num_after) for change in changes]


@settings(max_examples=40, deadline=None)
@given(segments=SEGMENTS, seed=st.integers(0, 1000), share=st.floats(0, 1))
def test_cut_anywhere_and_restored_it_goes_on_to_the_bit(
    segments: list[tuple[int, float]], seed: int, share: float
) -> None:
    errors = errors_of(segments, seed)
    middle = int(share * len(errors))
    whole, part, restored = Adwin(), Adwin(), Adwin()
    whole.update(errors[:middle])
    part.update(errors[:middle])
    restored.restore(json.loads(json.dumps(part.state())))
    assert restored.state() == part.state()
    assert means(restored.update(errors[middle:])) == means(whole.update(errors[middle:]))
    assert restored.state() == whole.state()


def test_after_an_upgrade_of_river_it_starts_anew_rather_than_misread() -> None:
    adwin = Adwin()
    adwin.update(errors_of([(500, 0.3)], 0))
    restored = Adwin()
    restored.restore({**adwin.state(), "river": "0.1.0"})
    assert (restored.width, restored.mean) == (0, 0)


def test_the_alarm_does_not_bring_in_all_that_river_can_read() -> None:
    """Seconds and tens of megabytes at the trainer's start."""
    program = (
        "import sys; from penstock.learning.watching.adwin import Adwin; Adwin();"
        "print([name for name in ('river.drift', 'sklearn', 'pandas', 'scipy') if name in sys.modules])"
    )
    brought = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert brought.strip() == "[]"
