"""What was never learnt is not taken out, and nothing is taken out twice, whatever it is called."""

from dataclasses import replace

import numpy as np
import pytest

from controlled_streams import HEADS, Told, every, place, points, state_of
from penstock.flow import Control, EventPlace, RetractionRequest


def counts(told: Told) -> np.ndarray:
    ensemble = told.learner._parts.ensemble
    assert ensemble is not None
    assert ensemble.analytic is not None
    return ensemble.analytic.counts.copy()


@pytest.mark.parametrize(
    "of", [place(10**6), place(35), place(5, partition=3), place(5, partition=2**31 - 1), place(30, row=1)]
)
def test_what_has_not_come_yet_cannot_be_retracted(of: EventPlace) -> None:
    told = Told()
    told.events(every(range(3), 10), seed=1)
    told.learner.learn(told.batch(points([1], seed=5), [2]))
    outcome = told.retract(points([1], seed=5), 0, 2, of)
    assert outcome.result == "refused"
    assert "has not come yet" in outcome.sentence


def test_none_is_undone_twice() -> None:
    told = Told()
    told.events(every(range(3), 10), seed=1)
    wrong, offset = points([1], seed=5), told.offset
    told.learner.learn(told.batch(wrong, [2]))
    told.learner.learn(told.batch(wrong, [2]))
    for of in (place(offset), "some-id"):
        assert told.retract(wrong, 0, 2, of).result == "applied"
        for again in (told, told.restarted()):
            outcome = again.retract(wrong, 0, 2, of)
            assert (outcome.result, outcome.sentence.endswith("was retracted before.")) == ("refused", True)


def test_a_retraction_that_does_not_fit_the_event_is_refused_and_changes_nothing() -> None:
    told = Told(heads=HEADS, capacity=400)
    told.events(every(range(3), 10), seed=1)
    told.classes("retire", "c1")
    wrong, offset = points([0, 2], seed=5), told.offset
    told.learner.learn(told.batch({name: values[:1] for name, values in wrong.items()}, [2]))
    before = told.capture()[1].sha256
    for outcome, sentence in (
        (told.retract(wrong, 1, 2, place(offset)), "had other features or another label than are given here."),
        (told.retract(wrong, 0, 0, place(offset)), "had other features or another label than are given here."),
        (
            told.retract(wrong, 0, 2, place(offset, topic="other")),
            "the events of this model are those of 'shop.labels'.",
        ),
        (told.retract(wrong, 0, 9, place(offset)), "There is no class 'c9', so no event of it was ever learnt."),
        (told.retract(wrong, 0, 1, place(offset)), "Class 'c1' is retired: nothing of it is left to retract."),
    ):
        assert outcome.result == "refused"
        assert sentence in outcome.sentence
    assert told.capture()[1].sha256 == before


def test_events_that_were_never_learnt_cannot_bring_the_sums_out_of_balance() -> None:
    told = Told(heads=("analytic",), capacity=0)
    told.events(every(range(3), 10), seed=1)
    results = []
    for number in range(40):
        far = {name: values * 50 for name, values in points([number % 3], seed=100 + number).items()}
        results.append(told.retract(far, 0, number % 3, f"made-up-{number}").result)
    assert "refused" in results
    told.events(every(range(3), 10), seed=2)
    assert np.isfinite(told.answers(every(range(3), 5))).all()


def test_what_an_event_that_was_never_learnt_has_taken_with_it_is_not_taken_again() -> None:
    told = Told(heads=("analytic",), capacity=40)
    told.events(every(range(3), 30), seed=1)
    far, offset = {name: values * 3 for name, values in points([1], seed=5).items()}, told.offset
    told.learner.learn(told.batch(far, [1]))
    nearly_the_same = {name: values * (1 + 1e-4) for name, values in far.items()}
    assert told.retract(nearly_the_same, 0, 1, "never-sent").exactness["analytic"] == "unverified"
    for each in (told, told.restarted()):
        before = each.capture()[1].sha256
        outcome = each.retract(far, 0, 1, place(offset))
        assert outcome.result == "refused"
        assert "may never have been learnt have taken what the sums had of it" in outcome.sentence
        assert each.capture()[1].sha256 == before
        each.events(every(range(3), 30), seed=2)
        assert np.isfinite(each.answers(every(range(3), 5))).all()


NAMES: list[EventPlace | str] = [place(30), "e-30"]


@pytest.mark.parametrize("order", [1, -1])
@pytest.mark.parametrize("capacity", [0, 400])
def test_none_is_undone_twice_by_two_names(capacity: int, order: int) -> None:
    told = Told(capacity=capacity, dedupe_window=100)
    told.events(every(range(3), 10), seed=1)
    wrong = points([1], seed=5)
    told.learner.learn(told.batch(wrong, [2]))
    told.events(every(range(3), 10), seed=2)
    one, other = NAMES[::order]
    before = counts(told)
    assert told.retract(wrong, 0, 2, one).exactness["analytic"] == "exact"
    for again in (told, told.restarted()):
        outcome = again.retract(wrong, 0, 2, other)
        assert (outcome.result, outcome.sentence.endswith("was retracted before.")) == ("refused", True)
        assert (before - counts(again)).sum() == 1


def test_the_place_of_a_kept_row_that_its_id_led_to_is_not_retracted_again() -> None:
    told = Told(capacity=400)
    told.events(every(range(3), 10), seed=1)
    wrong = points([1], seed=5)
    told.learner.learn(told.batch(wrong, [2]))
    assert told.retract(wrong, 0, 2, "e-30").result == "applied"
    for again in (told, told.restarted()):
        assert again.retract(wrong, 0, 2, place(30)).sentence.endswith("was retracted before.")


def test_what_comes_again_under_its_old_id_can_be_retracted_again() -> None:
    told = Told(dedupe_window=100)
    told.events(every(range(3), 10), seed=1)
    wrong = points([1], seed=5)
    batch = told.batch(wrong, [2])
    told.learner.learn(batch)
    assert told.retract(wrong, 0, 2, "e-30").result == "applied"
    assert told.retract(wrong, 0, 2, "e-30").result == "refused"
    told.learner.learn(replace(told.batch(wrong, [2]), seen=batch.seen))
    assert told.retract(wrong, 0, 2, "e-30").result == "applied"
    assert told.retract(wrong, 0, 2, "e-30").result == "refused"


@pytest.mark.parametrize("given", [1.0, 5.0])
@pytest.mark.parametrize("of", NAMES)
def test_a_kept_event_is_taken_out_with_its_own_weight_whatever_weight_is_given(
    of: EventPlace | str, given: float
) -> None:
    told = Told(capacity=400)
    told.events(every(range(3), 10), seed=1)
    before, wrong = counts(told), points([1], seed=5)
    told.learner.learn(told.batch(wrong, [2], weight=4.0))
    outcome = told.retract(wrong, 0, 2, of, weight=given)
    assert outcome.sentence.endswith("its kept row is gone, taken out with its own weight of 4.")
    assert np.array_equal(counts(told), before)


def test_of_twins_the_one_with_the_weight_that_is_given_goes() -> None:
    told = Told(capacity=400)
    told.events(every(range(3), 10), seed=1)
    before, twin = counts(told).sum(), points([1], seed=5)
    for weight in (3.0, 2.0, 5.0):
        told.learner.learn(told.batch(twin, [2], weight=weight))
    for weight, left in ((2.0, 8.0), (5.0, 3.0), (3.0, 0.0)):
        assert told.retract(twin, 0, 2, f"twin-{weight}", weight=weight).sentence.endswith("its kept row is gone.")
        assert counts(told).sum() == before + left


def test_where_no_row_is_kept_the_weight_that_is_given_counts() -> None:
    told = Told(capacity=0)
    told.events(every(range(3), 10), seed=1)
    wrong = points([1], seed=5)
    told.learner.learn(told.batch(wrong, [2], weight=4.0))
    before = counts(told).sum()
    assert "was learnt, so none can be retracted." in told.retract(wrong, 0, 2, place(30), weight=400.0).sentence
    assert told.retract(wrong, 0, 2, place(30), weight=4.0).result == "applied"
    assert counts(told).sum() == before - 4


def taught(*, capacity: int = 0, dedupe_window: int = 0, times: int = 150) -> Told:
    """Of so many events that the sums alone would let anything go."""
    told = Told(heads=("analytic",), capacity=capacity, dedupe_window=dedupe_window)
    told.events(every(range(3), times), seed=1)
    return told


def test_an_id_that_never_came_is_refused_while_every_id_is_known() -> None:
    told = taught(dedupe_window=1000)
    for each in (told, told.restarted()):
        outcome = each.retract(points([1], seed=5), 0, 1, "never-sent")
        assert outcome.result == "refused"
        assert outcome.sentence.endswith("'never-sent' was never learnt: every event_id that was is known still.")


@pytest.mark.parametrize("window", [100, 1000])
def test_a_place_within_reach_of_the_ids_at_which_nothing_was_learnt_is_refused(window: int) -> None:
    told = taught(dedupe_window=window)
    told.offset += 1  # a dead letter
    told.events(every(range(3), 10), seed=2)
    for each in (told, told.restarted()):
        outcome = each.retract(points([1], seed=5), 0, 1, place(450))
        assert outcome.sentence.endswith("0:450: what stands there was refused, a repeat, or no event.")


@pytest.mark.parametrize("of", [place(3), "never-sent"])
@pytest.mark.parametrize("window", [0, 100])
def test_where_nothing_tells_whether_it_was_learnt_that_is_said(window: int, of: EventPlace | str) -> None:
    told = taught(dedupe_window=window)
    for each in (told, told.restarted()):
        outcome = each.retract(points([1], seed=5), 0, 1, of)
        assert (outcome.result, outcome.exactness["analytic"]) == ("applied", "unverified")
        assert outcome.sentence.endswith("nothing else tells whether it was ever learnt.")


def test_what_is_not_kept_is_refused_while_all_else_of_its_class_is() -> None:
    told = taught(capacity=4000)
    outcome = told.retract(points([1], seed=5), 0, 1, "never-sent")
    assert outcome.result == "refused"
    assert "each of class 'c1' is kept, and none is it." in outcome.sentence


def test_an_id_is_known_to_a_retraction_behind_its_event_in_one_batch_and_not_before_it() -> None:
    told = taught(dedupe_window=1000)
    batch = told.batch(points([1], seed=5), [2])
    request = RetractionRequest(event=batch.events, of="e-450")
    early, late = (Control(at=at, partition=0, offset=451 + at, row=0, request=request) for at in (0, 1))
    outcomes = told.learner.learn(replace(batch, controls=(early, late))).controls
    assert [outcome.result for outcome in outcomes] == ["refused", "applied"]
    assert "has not come yet" in outcomes[0].sentence
    assert outcomes[1].exactness["analytic"] == "exact"


def test_a_learner_that_was_restored_amid_retractions_ends_as_one_that_was_not() -> None:
    told = Told(capacity=40, dedupe_window=50)
    labels = every(range(3), 40)
    told.events(labels, seed=1, drift=3.0)
    restored = told.restarted()
    for offset in (119, 100, 71, 70, 69, 20):
        for of in (f"e-{offset}", place(offset), f"e-{offset}"):
            mine, other = (
                each.retract(points(labels, seed=1, drift=3.0), offset, labels[offset], of) for each in (told, restored)
            )
            assert (mine.sentence, mine.exactness) == (other.sentence, other.exactness)
        restored = restored.restarted()
    assert state_of(told) == state_of(restored)
