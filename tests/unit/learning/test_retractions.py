"""A wrong label is undone: out of the exact heads without a trace, out of the rows that are kept."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import pytest

from controlled_streams import Told, every, place, points
from penstock.flow import Control, EventPlace, RetractionRequest
from penstock.learning.heads.analytic import AnalyticHead


def analytic(told: Told) -> AnalyticHead:
    ensemble = told.learner._parts.ensemble
    assert ensemble is not None
    assert ensemble.analytic is not None
    ensemble.analytic.solve()
    return ensemble.analytic


def sums(told: Told) -> dict[str, np.ndarray]:
    state = analytic(told).state()
    return {name: np.asarray(state[name], dtype=np.float64) for name in ("gram", "sums", "counts")}


def assert_sums_are_those_of(told: Told, without: Told) -> None:
    mine, theirs = sums(told), sums(without)
    for name, values in theirs.items():
        assert np.abs(mine[name] - values).max() <= 1e-9 * np.abs(values).max(), name
    one, other = analytic(told).readout, analytic(without).readout
    assert one is not None
    assert other is not None
    asked = analytic(told).features(np.random.default_rng(0).normal(size=(20, analytic(told).features.width)))
    assert np.abs(one.scores(asked) - other.scores(asked)).max() < 1e-3 * np.abs(other.scores(asked)).max()


@pytest.mark.parametrize("weight", [1.0, 2.5])
@pytest.mark.parametrize("target", [lambda offset: place(offset), lambda offset: f"e-{offset}"])
@pytest.mark.parametrize(("dedupe_window", "exactness"), [(0, "unverified"), (400, "exact")])
def test_the_sums_are_those_of_a_learner_that_has_never_seen_it(
    target: Callable[[int], EventPlace | str], weight: float, dedupe_window: int, exactness: str
) -> None:
    told, without = (
        Told(heads=("analytic",), with_numbers=False, capacity=0, dedupe_window=dedupe_window) for _ in range(2)
    )
    for each in (told, without):
        each.events(every(range(3), 30), seed=1)
    wrong, offset = points([1, 1], seed=5), told.offset
    told.learner.learn(told.batch(wrong, [2, 0], weight=weight))
    without.offset += 2
    for each in (told, without):
        each.events(every(range(4), 30), seed=2)
    for row, label in enumerate((2, 0)):
        outcome = told.retract(wrong, row, label, target(offset + row), weight=weight)
        assert (outcome.result, outcome.classes) == ("applied", (f"c{label}",))
        assert outcome.exactness["analytic"] == exactness
    assert_sums_are_those_of(told, without)


@dataclass(frozen=True, kw_only=True)
class Way:
    """How the event is named, and what is there to tell when it was learnt."""

    of: EventPlace | str
    capacity: int
    dedupe_window: int
    exactness: str = "exact"


WAYS = {
    "by its place, not kept": Way(of=place(30), capacity=0, dedupe_window=0, exactness="unverified"),
    "by its place, not kept, among the newest ids": Way(of=place(30), capacity=0, dedupe_window=300),
    "by its place, kept": Way(of=place(30), capacity=400, dedupe_window=0),
    "by its id, kept": Way(of="e-30", capacity=400, dedupe_window=0),
    "by its id, among the newest rows": Way(of="e-30", capacity=4 * 256, dedupe_window=0),
    "by its id, not kept, among the newest ids": Way(of="e-30", capacity=0, dedupe_window=300),
}


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS.keys())
def test_it_is_taken_out_as_it_was_put_in_although_numbers_are_standardised_otherwise_by_now(way: Way) -> None:
    def learnt(weight: float) -> Told:
        told = Told(heads=("analytic",), capacity=way.capacity, dedupe_window=way.dedupe_window)
        told.events(every(range(3), 10), seed=1, drift=1.0)
        told.learner.learn(told.batch(points([1], seed=5), [2], weight=weight))
        told.events(every(range(3), 60), seed=2, drift=3.0)
        return told

    told, as_good_as_without = learnt(1.0), learnt(1e-9)
    assert len(told.learner._parts.history._scales) > 5, "the moments have been taken anew"
    for each in (told, told.restarted()):
        outcome = each.retract(points([1], seed=5), 0, 2, way.of)
        assert outcome.exactness["analytic"] == way.exactness
        mine, theirs = sums(each), sums(as_good_as_without)
        for name, values in theirs.items():
            assert np.abs(mine[name] - values).max() <= 1e-7 * np.abs(values).max(), name


@pytest.mark.parametrize("dedupe_window", [0, 50])
def test_by_the_id_of_an_event_long_gone_it_is_taken_out_as_numbers_are_standardised_now_and_that_is_said(
    dedupe_window: int,
) -> None:
    told = Told(capacity=0, dedupe_window=dedupe_window)
    told.events(every(range(3), 40), seed=1, drift=3.0)
    wrong = points([1], seed=5)
    told.learner.learn(told.batch(wrong, [2]))
    told.events(every(range(3), 40), seed=2, drift=3.0)
    outcome = told.retract(wrong, 0, 2, "e-120")
    assert outcome.result == "applied"
    assert outcome.exactness == {
        "linear": "approximate",
        "analytic": "unverified",
        "forgetting": "approximate",
        "instances": "exact",
    }


@pytest.mark.parametrize("by_id", [False, True])
def test_its_row_is_kept_nowhere_and_answered_by_no_exception(by_id: bool) -> None:
    told = Told(capacity=400)
    told.events(every(range(3), 40), seed=1)
    wrong, offset = points([1], seed=5), told.offset
    told.learner.learn(told.batch(wrong, [2]))
    ensemble = told.learner._parts.ensemble
    assert ensemble is not None
    assert ensemble.exceptions is not None
    wrong_answer = told.answers([1], seed=5)[0, told.learner.class_names.index("c2")]
    num_exceptions = len(ensemble.exceptions)
    assert wrong_answer > 0.8, "the click was learnt"
    before = told.capture()[0]
    outcome = told.retract(wrong, 0, 2, "clicked" if by_id else place(offset))
    assert outcome.sentence.endswith("its kept row is gone.")
    after = told.capture()[0]
    assert len(after.reservoir.slots) == len(before.reservoir.slots) - 1
    counts = "classes.rows"
    assert (before.tensors[counts].astype(int) - after.tensors[counts].astype(int)).tolist() == [
        int(name == "c2") for name in told.learner.class_names
    ]
    assert len(ensemble.exceptions) == num_exceptions - 1
    priority = told.learner._priorities.at(
        np.array([0], dtype=np.int32), np.array([offset]), np.array([0], dtype=np.int32)
    )[0]
    for kept in (ensemble.instances.near, ensemble.instances.far):
        assert kept is not None
        assert priority not in kept.ids
    assert told.answers([1], seed=5)[0, told.learner.class_names.index("c2")] < 0.5


@pytest.mark.parametrize("restarts", [False, True])
def test_a_wrong_click_that_is_undone_leaves_the_right_click_before_it(restarts: bool) -> None:
    told, asked = Told(capacity=400), points([0], seed=5)
    told.events(every(range(4), 60), seed=1)

    def clicked(label: int) -> int:
        told.learner.learn(told.batch(asked, [label]))
        return told.offset - 1

    right, wrong = clicked(1), clicked(2)
    if restarts:
        told = told.restarted()
    index = told.learner.class_names.index("c1")
    assert told.retract(asked, 0, 2, place(wrong)).exactness["instances"] == "exact"
    assert told.learner.probabilities(asked)[0, index] > 0.9
    clicked(3)
    assert told.retract(asked, 0, 1, place(right)).exactness["instances"] == "approximate"
    assert told.learner.probabilities(asked)[0].argmax() == told.learner.class_names.index("c3")


def test_of_twins_that_no_id_tells_apart_one_goes_and_one_stays() -> None:
    told = Told(capacity=400)
    told.events(every(range(3), 10), seed=1)
    twins = {name: np.repeat(values, 2, axis=0) for name, values in points([1], seed=5).items()}
    told.learner.learn(told.batch(twins, [1, 1]))
    rows = told.capture()[0].tensors["classes.rows"].sum()
    for gone in (1, 2):
        assert told.retract(twins, 0, 1, f"e-{gone}").result == "applied"
        assert told.capture()[0].tensors["classes.rows"].sum() == rows - gone
    assert told.retract(twins, 0, 1, "e-3").result == "refused"


def test_an_event_of_a_sleeping_class_leaves_its_packet() -> None:
    slept, without = (Told(heads=("analytic",), with_numbers=False, dedupe_window=500) for _ in range(2))
    for each in (slept, without):
        each.events(every(range(3), 30), seed=1)
    wrong, offset = points([1], seed=5), slept.offset
    slept.learner.learn(slept.batch(wrong, [2]))
    without.offset += 1
    slept.classes("hibernate", "c2")
    slept = slept.restarted()
    assert slept.retract(wrong, 0, 2, place(offset)).exactness["analytic"] == "exact"
    slept = slept.restarted()
    slept.classes("wake", "c2")
    assert_sums_are_those_of(slept, without)


def test_an_event_before_it_in_the_same_batch_has_come() -> None:
    told = Told()
    told.events(every(range(3), 10), seed=1)
    wrong = points([1], seed=5)
    batch = told.batch(wrong, [2])
    request = RetractionRequest(event=batch.events.slice(0, 1), of=place(30))
    control = Control(at=1, partition=0, offset=31, row=0, request=request)
    (outcome,) = told.learner.learn(replace(batch, controls=(control,))).controls
    assert outcome.result == "applied"


def test_all_events_of_a_class_can_be_retracted_one_by_one() -> None:
    told = Told(heads=("analytic", "instances"))
    told.events(every(range(2), 20), seed=1)
    few, offset = points([3] * 5, seed=5), told.offset
    told.learner.learn(told.batch(few, [3] * 5))
    for row in range(5):
        assert told.retract(few, row, 3, place(offset + row)).result == "applied"
    assert told.accuracy(every(range(2), 20)) > 0.7
    assert told.answers([3])[0, told.learner.class_names.index("c3")] < 0.5
    assert told.events([3], seed=6)[0].num_events == 1


def test_where_the_analytic_head_forgets_a_retraction_is_approximate_and_says_so() -> None:
    told, labels = Told(analytic_forgetting=0.999), every(range(3), 40)
    told.events(labels, seed=1)
    before = sums(told)
    outcome = told.retract(points(labels, seed=1), 5, labels[5], place(5))
    assert outcome.result == "applied"
    assert outcome.exactness["analytic"] == "approximate"
    assert all(np.array_equal(before[name], values) for name, values in sums(told).items())
