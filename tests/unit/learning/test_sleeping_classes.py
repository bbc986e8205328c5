"""A class sleeps without its data and answers, once awake, as if it had never slept."""

from collections.abc import Sequence

import numpy as np
import pytest

from bench_learning.lesson import Lesson
from bench_learning.stream import Stream
from controlled_streams import HEADS, Told, every, place, points, state_of
from packet_cards import card_of, saying
from penstock.flow import ClassRequest, ImportRequest
from penstock.learning.class_changes import ClassChanges
from penstock.learning.config import HeadName
from penstock.learning.learner import Learner

ALONE: tuple[HeadName, ...] = ("linear",)
ALL_HEADS = [HEADS, ("analytic",), ALONE, ("linear", "instances"), ("analytic", "instances")]


def exact_sums(learner: Learner) -> tuple[np.ndarray, np.ndarray]:
    ensemble = learner._parts.ensemble
    assert ensemble is not None
    assert ensemble.analytic is not None
    ensemble.analytic.solve()
    readout = ensemble.analytic.readout
    assert readout is not None
    return readout.weights, readout.biases


def assert_same_sums(slept: Told, never: Told) -> None:
    """Of the exact sums, but for rounding."""
    for one, other in zip(exact_sums(slept.learner), exact_sums(never.learner), strict=True):
        assert np.abs(one - other).max() <= 1e-9 * np.abs(other).max()


@pytest.mark.parametrize("heads", ALL_HEADS)
def test_asleep_it_is_not_answered_and_the_others_are_told_apart_as_before(heads: tuple[HeadName, ...]) -> None:
    told = Told(heads=heads)
    told.events(every(range(4), 40), seed=1)
    before = told.answers(every(range(4), 10))
    outcome = told.classes("hibernate", "c1")
    assert (outcome.result, outcome.classes) == ("applied", ("c1",))
    asleep = told.learner.class_names.index("c1")
    after = told.answers(every(range(4), 10))
    assert (after[:, asleep] == 0).all()
    others = [index for index in range(4) if index != asleep]
    same = after[:, others].argmax(axis=1) == before[:, others].argmax(axis=1)
    assert same.all() if heads == ALONE else same.mean() > 0.9, "a mixture is of one opinion less"


@pytest.mark.parametrize("heads", ALL_HEADS)
def test_asleep_and_awake_with_nothing_learnt_between_is_as_if_nothing_had_happened(
    heads: tuple[HeadName, ...],
) -> None:
    told, untouched = Told(heads=heads), Told(heads=heads)
    for each in (told, untouched):
        each.events(every(range(5), 30), seed=1)
    told.classes("hibernate", "c1", "c3")
    told.classes("wake", "c3")
    told = told.restarted()
    told.classes("wake", "c1")
    assert told.capture()[1].sha256 == untouched.capture()[1].sha256
    told.offset = untouched.offset
    for each in (told, untouched):
        each.events(every(range(5), 10), seed=2)
    assert told.capture()[1].sha256 == untouched.capture()[1].sha256


def test_the_weights_of_live_classes_are_the_same_to_the_bit_when_another_falls_asleep() -> None:
    told = Told()
    told.events(every(range(4), 40), seed=1)
    before = told.replica()
    told.classes("hibernate", "c2")
    after = told.replica()
    rows = [told.learner.class_names.index(name) for name in ("c0", "c1", "c3")]
    assert before._heads is not None
    assert after._heads is not None
    for member in ("analytic", "forgetting"):
        one, other = before._heads._answer.readouts[member], after._heads._answer.readouts[member]
        assert one is not None
        assert other is not None
        assert (one.weights[:, rows] == other.weights[:, rows]).all()
        assert (one.biases[rows] == other.biases[rows]).all()


def test_what_is_learnt_while_it_sleeps_and_its_own_sums_give_the_joint_solution() -> None:
    slept, never = Told(heads=("analytic",)), Told(heads=("analytic",))
    for told in (slept, never):
        told.events(every(range(3), 60), seed=1)
    slept.classes("hibernate", "c0", "c1")
    never.offset += 1
    for told in (slept, never):
        told.events(every(range(2, 6), 60), seed=2)
    outcome = slept.classes("wake", "c0", "c1")
    assert outcome.result == "applied"
    assert_same_sums(slept, never)


def test_where_the_analytic_head_forgets_it_is_as_if_the_class_had_been_awake_all_along() -> None:
    slept, never = (Told(heads=("analytic",), analytic_forgetting=0.99, with_numbers=False) for _ in range(2))
    for told in (slept, never):
        told.events(every(range(3), 60), seed=1)
    slept.classes("hibernate", "c0", "c1")
    never.offset += 1
    for told in (slept, never):
        told.events(every(range(2, 6), 20), seed=2)
    slept = slept.restarted()
    slept.classes("wake", "c0", "c1")
    assert_same_sums(slept, never)
    assert slept.accuracy(every(range(6), 50)) > 0.8


@pytest.mark.parametrize("meanwhile", ["import of sums", "import of rows like the class's", "retraction"])
def test_it_has_slept_for_as_many_events_as_the_stream_had_whatever_was_taken_in_or_back(meanwhile: str) -> None:
    slept, never = (Told(heads=("analytic",), analytic_forgetting=0.99, with_numbers=False) for _ in range(2))
    origin = Told(name="origin", with_numbers=False)
    origin.events(every([8, 9], 1000), seed=4)
    packet = origin.learner.packet_of("c9")
    for told in (slept, never):
        told.events(every(range(3), 60), seed=1)
    alike = card_of(slept.learner.packet_of("c1"))["scales"]
    packet = saying(packet, {"scales": alike if meanwhile == "import of sums" else {"x": [5.0, 9.0]}})
    slept.classes("hibernate", "c0", "c1")
    never.offset += 1
    for told in (slept, never):
        labels, start = every(range(2, 6), 10), told.offset
        told.events(labels, seed=2)
        if meanwhile == "retraction":
            row = points(labels, seed=2)
            outcomes = [told.retract(row, at, labels[at], place(start + at)) for at in range(20)]
        else:
            outcomes = [told.told(ImportRequest(packet=packet))]
        assert {outcome.result for outcome in outcomes} == {"applied"}
        told.events(every(range(2, 6), 10), seed=3)
    slept = slept.restarted()
    slept.classes("wake", "c0", "c1")
    assert_same_sums(slept, never)
    assert slept.accuracy(every(range(3), 50)) > 0.8


def test_two_classes_may_wake_in_either_order() -> None:
    found = []
    for order in (("c0", "c1"), ("c1", "c0")):
        told = Told()
        told.events(every(range(4), 40), seed=1)
        told.classes("hibernate", "c0", "c1")
        told.events(every(range(2, 5), 30), seed=2)
        for name in order:
            told.classes("wake", name)
        found.append(told.capture()[1].sha256)
        told.events(every(range(5), 10), seed=3)
        found.append(told.capture()[1].sha256)
    assert found[:2] == found[2:]


def test_waking_twice_is_waking_once_and_so_is_falling_asleep() -> None:
    told = Told()
    told.events(every(range(3), 30), seed=1)
    told.classes("hibernate", "c0")
    assert told.classes("hibernate", "c0").result == "unchanged"
    told.events(every(range(1, 3), 30), seed=2)
    assert told.classes("hibernate", "c0").result == "unchanged"
    told.classes("wake", "c0")
    once = told.capture()[1].sha256
    again = told.classes("wake", "c0")
    assert (again.result, again.classes) == ("unchanged", ())
    assert told.capture()[1].sha256 == once


@pytest.mark.parametrize("heads", [HEADS, ("analytic",)])
def test_woken_it_is_answered_as_well_as_if_it_had_never_slept(heads: tuple[HeadName, ...]) -> None:
    def accuracies(sleeps: bool, seed: int) -> list[float]:
        told = Told(heads=heads)
        told.events(every(range(4), 60, seed), seed=seed)
        if sleeps:
            told.classes("hibernate", "c0", "c1")
        told.events(every(range(2, 8), 60, seed), seed=seed + 10)
        if sleeps:
            told.classes("wake", "c0", "c1")
        return [told.accuracy(every(range(2), 100)), told.accuracy(every(range(8), 50))]

    slept = np.mean([accuracies(True, seed) for seed in range(3)], axis=0)
    never = np.mean([accuracies(False, seed) for seed in range(3)], axis=0)
    assert (slept >= never - 0.01).all(), (slept, never)


def test_a_class_that_sleeps_while_numbers_move_far_is_known_when_it_wakes() -> None:
    rng, centres = np.random.default_rng(1), 1.5 * np.random.default_rng(7).normal(size=(4, 4))

    def stream(num_rows: int, classes: list[int], moved: float = 0.0) -> Stream:
        chosen = rng.choice(classes, num_rows)
        rows = centres[chosen] + 0.5 * rng.normal(size=(num_rows, 4))
        rows[:, 0] += moved
        return Stream(rows=rows, labels=chosen.astype(str))

    before, meanwhile = stream(1000, [0, 1, 2, 3]), stream(2000, [0, 1, 2], moved=10.0)
    lesson = Lesson(before, seed=0, batch_rows=50)
    lesson.teach(before.rows, before.labels)
    lesson.tell(ClassRequest(verb="hibernate", classes=("3",)))
    lesson.teach(meanwhile.rows, meanwhile.labels)
    lesson.tell(ClassRequest(verb="wake", classes=("3",)))
    for asked in (stream(200, [3]), stream(400, [0, 1, 2], moved=10.0)):
        assert lesson.served_hits(asked.rows, asked.labels).mean() > 0.9


@pytest.mark.parametrize("heads", [ALONE, ("linear", "instances")])
def test_without_an_analytic_head_a_woken_class_is_learnt_again_from_rows_like_its_own(
    heads: tuple[HeadName, ...],
) -> None:
    told = Told(heads=heads, capacity=300)
    told.events(every(range(4), 60), seed=1)
    never = told.restarted()
    told.classes("hibernate", "c0", "c1")
    for each in (told, never):
        each.events(every(range(2, 8), 60), seed=2)
    told.classes("wake", "c0", "c1")
    assert told.accuracy(every(range(2), 100)) >= never.accuracy(every(range(2), 100)) - 0.1
    assert told.accuracy(every(range(2, 8), 50)) >= never.accuracy(every(range(2, 8), 50)) - 0.1


def test_heads_that_kept_rows_leave_a_woken_class_to_the_analytic_one_until_they_have_sixteen() -> None:
    told = Told()
    told.events(every(range(4), 60), seed=1)
    told.classes("hibernate", "c0")
    told.events(every(range(1, 4), 60), seed=2)
    told.classes("wake", "c0")

    def is_silent() -> bool:
        answer = told.replica()._heads._answer  # type: ignore[union-attr]  # there are several heads
        index = told.learner.class_names.index("c0")
        return answer.abstaining is not None and bool(answer.abstaining[:, index].any())

    assert is_silent()
    told.events([0] * 15, seed=3, batch=5)
    assert is_silent()
    told.events([0], seed=4)
    assert not is_silent()


@pytest.mark.parametrize("heads", [HEADS, ALONE])
def test_the_first_event_of_a_sleeping_class_wakes_it(heads: tuple[HeadName, ...]) -> None:
    told = Told(heads=heads)
    told.events(every(range(4), 40), seed=1)
    told.classes("hibernate", "c0", "c3")
    told.events(every(range(1, 3), 20), seed=2)
    (report,) = told.events([1, 2, 0, 1, 0, 0], seed=3)
    assert report.woken == ("c0",)
    assert report.events_by_class == {"c0": 3, "c1": 2, "c2": 1}
    assert report.scored_rows.tolist() == [0, 1, 2, 3, 4, 5]
    states = {entry.name: (entry.state, entry.generation) for entry in told.learner._parts.ledger.entries}
    assert (states["c0"], states["c3"]) == (("live", 1), ("hibernated", 0))
    assert told.accuracy([0] * 50) > 0.6


def test_classes_that_wake_by_their_own_events_wake_together(monkeypatch: pytest.MonkeyPatch) -> None:
    told, asked_to_wake, wake = Told(), [], ClassChanges.wake

    def noted(changes: ClassChanges, labels: Sequence[int]) -> None:
        asked_to_wake.append(list(labels))
        wake(changes, labels)

    told.events(every(range(6), 40), seed=1)
    told.classes("hibernate", "c0", "c1", "c2")
    told.events(every(range(3, 6), 20), seed=2)
    monkeypatch.setattr(ClassChanges, "wake", noted)
    (report,) = told.events([3, 4, 1, 2, 1, 5, 2], seed=3)
    assert report.woken == ("c1", "c2")
    assert asked_to_wake == [[told.learner.class_names.index(name) for name in ("c1", "c2")]]
    assert report.events_by_class == {"c1": 2, "c2": 2, "c3": 1, "c4": 1, "c5": 1}


def test_a_sleeping_class_leaves_nothing_but_its_packet() -> None:
    told = Told()
    told.events(every(range(4), 40), seed=1)
    told.classes("hibernate", "c0")
    told.events([1], seed=2)
    checkpoint, _ = told.capture()
    label = told.learner.class_names.index("c0")
    assert label not in checkpoint.reservoir.columns["class_index"]
    window = checkpoint.tensors["window.classes"][: int(checkpoint.tensors["window.num_added"][0])]
    assert label not in window
    for stored in ("heads.far.classes", "heads.window_inputs"):
        assert stored in checkpoint.tensors
    assert label not in checkpoint.tensors["heads.far.classes"]
    assert checkpoint.tensors["classes.rows"][label] == 0
    ((name, packet),) = checkpoint.packets.items()
    assert name == f"{label:06d}-c0.safetensors"
    assert 1000 < len(packet) < 16_000


@pytest.mark.parametrize("heads", ALL_HEADS)
def test_a_learner_restored_at_any_stage_of_it_goes_on_to_the_bit(heads: tuple[HeadName, ...]) -> None:
    def stages(told: Told) -> list[str]:
        told.events(every(range(5), 20), seed=1)
        return ["hibernate", "events", "wake", "few", "more"]

    def go(told: Told, stage: str) -> None:
        if stage == "hibernate":
            told.classes("hibernate", "c0", "c1")
        elif stage == "wake":
            told.classes("wake", "c0")
        else:
            told.events(
                {"events": [2, 3, 4] * 20, "few": [0, 2, 0], "more": [0, 1, 2, 3, 4] * 10}[stage],
                seed=len(stage),
            )

    whole, parts = Told(heads=heads), Told(heads=heads)
    names = stages(whole)
    stages(parts)
    for stage in names:
        go(whole, stage)
        parts = parts.restarted()
        go(parts, stage)
        assert state_of(parts) == state_of(whole), stage
