"""The history is bounded, evenly spaced, and keeps what it had."""

import json

import numpy as np
import pytest

from penstock.learning.watching.history import DRAWN_CLASSES, MAX_POINTS, History


def filled(num_events: int, batch: int) -> History:
    history = History()
    for events in range(batch, num_events + 1, batch):
        if history.is_due(events):
            history.add(events, {"events": events, "half": events / 2}, np.array([0.5]))
    return history


@pytest.mark.parametrize("batch", [1, 32, 256, 1000])
@pytest.mark.parametrize("num_events", [10_000, 77_777, 300_000])
def test_whatever_the_length_there_are_enough_points_evenly_spaced(num_events: int, batch: int) -> None:
    history = filled(num_events, batch)
    expected = min(MAX_POINTS // 2, num_events // batch)
    assert expected - 1 <= len(history) <= MAX_POINTS
    events = history.column("events")
    gaps = np.diff(events)
    assert gaps.min() > 0
    assert gaps.max() <= 2.2 * max(np.median(gaps), batch)
    assert events[-1] >= num_events - 2 * gaps.max() - batch
    assert (history.column("half") == events / 2).all()


def test_a_figure_that_comes_later_has_no_value_before() -> None:
    history = History()
    history.add(16, {"a": 1.0}, np.zeros(0))
    history.add(32, {"b": 2.0}, np.array([1.0, 0.25]))
    assert history.names == ("a", "b")
    assert history.column("a").tolist()[0] == 1
    assert np.isnan(history.column("a")[1])
    assert np.isnan(history.column("b")[0])
    assert np.isnan(history.column("unheard of")).all()
    assert np.isnan(history.recalls[:, 0]).all()
    assert history.recalls[:, 1] == pytest.approx([1, 0.25], abs=0.005)


def test_recall_is_kept_of_the_first_classes_only() -> None:
    history = History()
    history.add(16, {}, np.ones(1000))
    assert history.recalls.shape == (DRAWN_CLASSES, 1)


def test_it_goes_on_from_a_checkpoint() -> None:
    history, restored = filled(50_000, 32), History()
    restored.restore(history.tensors(), json.loads(json.dumps(history.state())))
    for each in (history, restored):
        for events in range(50_016, 90_000, 16):
            if each.is_due(events):
                each.add(events, {"events": events, "new": 1.0}, np.array([0.1, 0.9]))
    assert restored.state() == history.state()
    for name, array in history.tensors().items():
        assert np.array_equal(array, restored.tensors()[name], equal_nan=True)
