"""A wrong label is undone: out of the exact heads without a trace, out of the rows that are kept."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
import pytest

from controlled_streams import Told, every, place, points, state_of
from penstock.flow import AcceptedLoss, Control, EventPlace, LabelLog, LossReason, Offsets, RetractionRequest
from penstock.learning.heads.analytic import AnalyticHead
from penstock.learning.set_aside import HoldOut


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


def slept_through_an_alarm() -> Told:
    """`c0` has 100 rows, all of them in its packet; what `c1` and `c2` had before their labels swapped is given up."""
    told = Told(dedupe_window=1000, capacity=400)
    told.events(every(range(3), 100), seed=1)
    told.classes("hibernate", "c0")
    told.events(every([1, 2], 60), seed=2)
    swapped = every([1, 2], 150, seed=9)
    features = points(swapped, seed=3)
    for start in range(0, len(swapped), 16):
        rows = slice(start, start + 16)
        some = {name: values[rows] for name, values in features.items()}
        told.learner.learn(told.batch(some, [3 - label for label in swapped[rows]]))
    assert told.learner._parts.history.was_rebuilt
    return told


def test_an_event_of_a_class_that_sleeps_through_an_alarm_leaves_its_packet_alone() -> None:
    told, labels = slept_through_an_alarm(), every(range(3), 100)
    label, row = told.learner.class_names.index("c0"), labels.index(0)
    before = sums(told)
    packet = told.learner._parts.sleepers[label].packet.tensors
    ensemble = told.learner._parts.ensemble
    assert ensemble is not None
    encoded = told.learner._parts.encoder.encode(
        {name: values[row : row + 1] for name, values in points(labels, seed=1).items()}
    )
    psi = analytic(told).features(ensemble.inputs(encoded))
    for each in (told, told.restarted()):
        outcome = each.retract(points(labels, seed=1), row, 0, place(row))
        assert outcome.exactness["analytic"] == "approximate"
        left = each.learner._parts.sleepers[label].packet.tensors
        assert float(left["analytic.count"][0]) == float(packet["analytic.count"][0]) - 1
        gone = packet["analytic.sums"].astype(np.float64) - left["analytic.sums"].astype(np.float64)
        assert np.linalg.norm(gone - psi[0]) < 0.5 * np.linalg.norm(psi[0])
        assert all(np.array_equal(before[name], values) for name, values in sums(each).items())
        each.classes("wake", "c0")
        assert analytic(each).counts[label] == 99


def test_an_event_of_a_class_that_woke_after_an_alarm_leaves_the_sums_and_one_that_was_given_up_does_not() -> None:
    told, labels = slept_through_an_alarm(), every(range(3), 100)
    told.classes("wake", "c0")
    for each in (told, told.restarted()):
        before = analytic(each).counts.copy()
        for label, exactness, fewer in ((0, "approximate", 1), (1, "exact", 0)):
            row = labels.index(label)
            outcome = each.retract(points(labels, seed=1), row, label, place(row))
            index = each.learner.class_names.index(f"c{label}")
            assert outcome.exactness["analytic"] == exactness
            assert before[index] - analytic(each).counts[index] == fewer


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


def test_a_restart_right_after_it_changes_nothing_of_what_is_learnt_of_classes_that_stay_away() -> None:
    told, labels = Told(), every(range(4), 25)
    told.events(labels, seed=1)
    told.events(every(range(2), 9), seed=2)
    row = labels.index(2)
    told.retract(points(labels, seed=1), row, 2, place(row))
    restarted = told.restarted()
    for each in (told, restarted):
        each.events(every(range(2), 64), seed=3)
    assert state_of(told) == state_of(restarted)


def test_events_held_out_of_the_same_micro_batch_do_not_hide_how_it_was_standardised() -> None:
    def learnt(weight: float) -> Told:
        told = Told(heads=("analytic",), capacity=0, hold_out=HoldOut(share=0.2, rows_per_class=10))
        told.events(every(range(3), 6), seed=1)
        batch = told.batch(points(labels, seed=2, drift=20.0), labels)
        weights = pa.array([weight] + [1.0] * (len(labels) - 1), batch.events.column("weight").type)
        column = batch.events.schema.get_field_index("weight")
        report = told.learner.learn(replace(batch, events=batch.events.set_column(column, "weight", weights)))
        assert report.held_out, "later ones"
        return told

    labels = every(range(3), 6)
    told, as_good_as_without = learnt(1.0), learnt(1e-9)
    assert len(told.learner._parts.history._scales) == 2, "the moments have been taken anew"
    outcome = told.retract(points(labels, seed=2, drift=20.0), 0, labels[0], place(18))
    assert outcome.sentence.startswith(f"The event 0:18 of class 'c{labels[0]}' is undone")
    mine, theirs = sums(told), sums(as_good_as_without)
    for name, values in theirs.items():
        assert np.abs(mine[name] - values).max() <= 1e-7 * np.abs(values).max(), name


LOSSES: list[tuple[LossReason, int]] = [("made-anew", 0), ("truncated", 200)]


def gone_on_after(reason: LossReason, resumed_at: int, *, capacity: int, dedupe_window: int = 0) -> Told:
    """400 events of one label topic, and then of what has its places from `resumed_at` on."""
    told = Told(capacity=capacity, dedupe_window=dedupe_window)
    told.events(every(range(4), 100), seed=1, drift=0.5)
    loss = AcceptedLoss(
        partition=0, wanted=400, resumed_at=resumed_at, reason=reason, num_events=None, accepted_at_ms=0
    )
    told.learner.seek(Offsets(next={0: resumed_at}), LabelLog(topic_id="another", losses=(loss,)))
    told.offset = resumed_at
    return told


@pytest.mark.parametrize("capacity", [0, 2000])
@pytest.mark.parametrize(("reason", "resumed_at"), LOSSES)
def test_where_places_come_up_again_the_new_event_is_taken_out_as_it_was_put_in(
    reason: LossReason, resumed_at: int, capacity: int
) -> None:
    def learnt(weight: float) -> Told:
        told = gone_on_after(reason, resumed_at, capacity=capacity)
        told.events(every(range(4), 10), seed=3)
        told.learner.learn(told.batch(points([1], seed=7), [1], weight=weight))
        return told

    told, as_good_as_without = learnt(1.0), learnt(1e-9)
    not_come = told.retract(points([1], seed=7), 0, 1, place(resumed_at + 60))
    assert "has not come yet" in not_come.sentence
    outcome = told.retract(points([1], seed=7), 0, 1, place(resumed_at + 40))
    assert outcome.exactness["analytic"] == ("exact" if capacity else "unverified")
    mine, theirs = sums(told), sums(as_good_as_without)
    for name, values in theirs.items():
        assert np.abs(mine[name] - values).max() <= 1e-7 * np.abs(values).max(), name


@pytest.mark.parametrize(("reason", "resumed_at"), LOSSES)
def test_an_old_event_whose_place_has_come_up_again_is_known_by_its_id_and_no_longer_by_its_place(
    reason: LossReason, resumed_at: int
) -> None:
    told, labels = gone_on_after(reason, resumed_at, capacity=0, dedupe_window=1000), every(range(4), 100)
    outcome = told.retract(points(labels, seed=1, drift=0.5), 250, labels[250], "e-250")
    assert outcome.exactness["analytic"] == "approximate"


def test_where_places_come_up_again_what_was_retracted_there_was_another_event() -> None:
    told, labels = Told(capacity=2000), every(range(4), 100)
    told.events(labels, seed=1)
    assert told.retract(points(labels, seed=1), 210, labels[210], place(210)).result == "applied"
    loss = AcceptedLoss(partition=0, wanted=400, resumed_at=200, reason="truncated", num_events=None, accepted_at_ms=0)
    told.learner.seek(Offsets(next={0: 200}), LabelLog(losses=(loss,)))
    told.offset = 200
    told.events(labels[:20], seed=2)
    assert told.retract(points(labels[:20], seed=2), 10, labels[10], place(210)).result == "applied"
    assert told.retract(points(labels, seed=1), 199, labels[199], place(199)).result == "applied"


def test_where_the_analytic_head_forgets_a_retraction_is_approximate_and_says_so() -> None:
    told, labels = Told(analytic_forgetting=0.999), every(range(3), 40)
    told.events(labels, seed=1)
    before = sums(told)
    outcome = told.retract(points(labels, seed=1), 5, labels[5], place(5))
    assert outcome.result == "applied"
    assert outcome.exactness["analytic"] == "approximate"
    assert all(np.array_equal(before[name], values) for name, values in sums(told).items())
