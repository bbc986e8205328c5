"""The early warning decides what river's does, a batch at a time, and can be taken up again."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from river.drift.binary import HDDMA

from penstock.learning.watching.hddm import HddmA


@settings(max_examples=80, deadline=None)
@given(
    segments=st.lists(
        st.tuples(st.integers(1, 600), st.sampled_from([0, 0.05, 0.2, 0.5, 0.9, 1])), min_size=1, max_size=5
    ),
    seed=st.integers(0, 1000),
    batch=st.sampled_from([1, 13, 256, 4000]),
    stop=st.floats(0, 1),
)
def test_it_warns_where_river_warns_and_survives_a_stop(
    segments: list[tuple[int, float]], seed: int, batch: int, stop: float
) -> None:
    generator = np.random.default_rng(seed)
    errors = np.concatenate([generator.random(length) < rate for length, rate in segments])
    theirs, begun, warned = HDDMA(), [], False
    for place, error in enumerate(errors.tolist()):
        theirs.update(error)
        warns = theirs.warning_detected or theirs.drift_detected
        if warns and not warned:
            begun.append(place)
        warned = warns and not theirs.drift_detected
    ours, found = HddmA(), []
    for start in range(0, len(errors), batch):
        if start <= stop * len(errors) < start + batch:
            stored, ours = ours.state(), HddmA()
            ours.restore(json.loads(json.dumps(stored)))
        found.extend((start + ours.update(errors[start : start + batch])).tolist())
    assert found == begun


def test_a_rise_from_a_fifth_to_a_third_is_warned_of_within_some_two_hundred_events() -> None:
    delays = []
    for seed in range(50):
        generator = np.random.default_rng(seed)
        places = HddmA().update(np.concatenate((generator.random(2000) < 0.2, generator.random(2000) < 0.35)))
        delays.append(int(places[places >= 2000][0]) - 2000)
    assert np.median(delays) < 239  # the alarm's


@pytest.mark.parametrize("rate", [0.0, 0.2, 1.0])
def test_a_constant_rate_is_hardly_ever_warned_of(rate: float) -> None:
    errors = np.random.default_rng(0).random(50_000) < rate
    assert len(HddmA().update(errors)) <= 5
