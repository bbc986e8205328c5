"""The analytic head is a set of events: order, batches and weights change nothing; what is taken out was never in."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from penstock.learning.heads import analytic, discriminant
from penstock.learning.heads.analytic import AnalyticHead
from penstock.learning.heads.features import RandomFeatures, num_random_for

WIDTH, CLASSES = 5, 4


def rows_of(count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    classes = np.concatenate((np.arange(CLASSES), generator.integers(0, CLASSES, count - CLASSES)))
    return generator.normal(size=(count, WIDTH)) + 0.5 * classes[:, None], classes


def taught(
    rows: np.ndarray, classes: np.ndarray, weights: np.ndarray | None = None, *, at_once: int = 10_000
) -> AnalyticHead:
    head = AnalyticHead(WIDTH, seed=3)
    head.grow(CLASSES)
    for start in range(0, len(rows), at_once):
        stop = start + at_once
        head.learn(rows[start:stop], classes[start:stop], None if weights is None else weights[start:stop])
    head.solve()
    return head


def assert_alike(one: AnalyticHead, other: AnalyticHead) -> None:
    asked, _ = rows_of(50, seed=99)
    assert one.counts == pytest.approx(other.counts, abs=1e-9)
    scores = one.exact_scores(asked)
    assert scores == pytest.approx(other.exact_scores(asked), abs=1e-9 * np.abs(scores).max())


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 1000), at_once=st.sampled_from([1, 7, 32, 300, 1000]))
def test_a_stream_in_any_order_and_any_batches_is_the_batch(seed: int, at_once: int) -> None:
    rows, classes = rows_of(700)
    order = np.random.default_rng(seed).permutation(len(rows))
    assert_alike(taught(rows, classes), taught(rows[order], classes[order], at_once=at_once))


def test_the_read_out_is_fishers_discriminant_with_equal_priors() -> None:
    """Against the textbook: class means, the pooled scatter with its ridge, and the term for means of few rows."""
    rows, classes = rows_of(300)
    head = taught(rows, classes)
    psi = head.features(rows)
    counts = np.bincount(classes)
    lam = discriminant.penalty(torch.from_numpy(psi.T @ psi), len(rows), WIDTH)
    means = np.array([psi[classes == label].mean(axis=0) for label in range(CLASSES)])
    within = (psi - means[classes]).T @ (psi - means[classes]) + lam * np.eye(psi.shape[1])
    weights = len(rows) * np.linalg.solve(within, means.T)
    asked, _ = rows_of(20, seed=5)
    found = head.exact_scores(asked)
    assert head._exact is not None
    freedom = head._exact.freedom
    correction = freedom / (2 * counts) / (1 - freedom / len(rows))
    expected = head.features(asked) @ weights - np.einsum("cm,mc->c", means, weights) / 2 + correction
    assert found == pytest.approx(expected, abs=1e-8 * np.abs(expected).max())


def test_degrees_of_freedom_are_the_trace_as_nearly_as_eight_probes_say() -> None:
    rows, classes = rows_of(2000)
    head = taught(rows, classes)
    psi = head.features(rows)
    gram = psi.T @ psi
    lam = discriminant.penalty(torch.from_numpy(gram), len(rows), WIDTH)
    exact = np.trace(np.linalg.solve(gram + lam * np.eye(len(gram)), gram))
    assert head._exact is not None
    assert head._exact.freedom == pytest.approx(exact, rel=0.1)


def test_many_classes_are_solved_another_way_to_the_same_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    rows, classes = rows_of(400)
    one = taught(rows, classes)
    monkeypatch.setattr(discriminant, "MOST_CLASSES_FOR_RESIDUALS", 1)
    other = taught(rows, classes)
    asked, _ = rows_of(30, seed=9)
    first, second = one.exact_scores(asked), other.exact_scores(asked)
    apart = first - second  # the degrees of freedom are those of another matrix there, alike for classes of one size
    assert apart - apart.mean(axis=0) == pytest.approx(np.zeros_like(apart), abs=1e-7 * np.abs(first).max())
    assert np.ptp(apart) < 0.05 * np.ptp(first)


@pytest.mark.parametrize("weight", [2, 5])
def test_a_weight_is_so_many_repeats(weight: int) -> None:
    rows, classes = rows_of(200)
    weights = np.where(np.arange(200) % 3 == 0, float(weight), 1.0)
    repeats = np.repeat(np.arange(200), weights.astype(int))
    assert_alike(taught(rows, classes, weights), taught(rows[repeats], classes[repeats]))


@pytest.mark.parametrize("weight", [1.0, 0.1, 1e-3, 1e-6])
def test_a_class_of_light_rows_is_answered_as_often_as_one_of_heavy_rows(weight: float) -> None:
    generator = np.random.default_rng(0)
    centres = 1.2 * generator.normal(size=(CLASSES, WIDTH))
    classes = generator.integers(0, CLASSES, 800)
    rows = centres[classes] + generator.normal(size=(800, WIDTH))
    head = taught(rows, classes, np.where(classes == 0, weight, 1.0))
    asked = generator.integers(0, CLASSES, 1000)
    said = head.exact_scores(centres[asked] + generator.normal(size=(1000, WIDTH))).argmax(axis=1)
    assert 0.1 < np.mean(said == 0) < 0.4
    assert np.mean(said == asked) > 0.6


def test_a_retracted_row_was_never_seen() -> None:
    rows, classes = rows_of(500)
    gone = np.arange(100, 140)
    head = taught(rows, classes)
    head.retract(rows[gone], classes[gone])
    head.solve()
    assert_alike(head, taught(np.delete(rows, gone, axis=0), np.delete(classes, gone)))


@pytest.mark.parametrize("num_classes", [3, 300])
def test_it_answers_although_a_row_was_taken_out_that_was_never_learnt(num_classes: int) -> None:
    rows = np.random.default_rng(0).normal(size=(900, WIDTH))
    classes = np.arange(900) % num_classes
    head = AnalyticHead(WIDTH, seed=3)
    head.grow(num_classes)
    head.learn(rows, classes)
    head.retract(rows[:1] * 30, classes[:1])
    with capture_logs() as said:
        head.solve()
        head.solve()
    assert np.isfinite(head.exact_scores(rows)).all()
    assert [line["log_level"] for line in said] == ["warning"], "once"


@pytest.mark.parametrize("order", [(1, 3), (3, 1)])
def test_a_class_that_slept_while_others_were_learnt_wakes_as_if_it_had_never_slept(order: tuple[int, int]) -> None:
    rows, classes = rows_of(400)
    more, theirs = rows_of(300, seed=1)
    others = np.isin(theirs, [0, 2])
    head = taught(rows, classes)
    packets = {label: head.take_out(label) for label in (1, 3)}
    head.solve()
    assert np.isneginf(head.exact_scores(rows[:3])[:, [1, 3]]).all()
    head.learn(more[others], theirs[others])
    for label in order:
        head.put_back(label, packets[label])
    head.solve()
    joint = taught(np.concatenate((rows, more[others])), np.concatenate((classes, theirs[others])))
    assert_alike(head, joint)


def test_going_to_sleep_and_waking_at_once_is_the_identity_to_the_bit() -> None:
    rows, classes = rows_of(300)
    head, twin = taught(rows, classes), taught(rows, classes)
    head.put_back(2, head.take_out(2))
    head.solve()
    for name, array in head.state().items():
        assert array.tobytes() == twin.state()[name].tobytes(), name


def test_leaving_a_row_out_is_learning_all_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """Exactly, where the ridge and the degrees of freedom are those of all rows."""
    monkeypatch.setattr(analytic, "penalty", lambda *_: 3.7)
    monkeypatch.setattr(discriminant, "_correction", lambda counts, total, freedom: 0.7 / np.maximum(counts, 1e-9))
    rows, classes = rows_of(120)
    weights = np.random.default_rng(4).uniform(0.5, 2, 120)
    solved = taught(rows, classes, weights).solved
    assert solved is not None
    found = solved.scores_without(rows, classes, weights)
    for place in range(0, 120, 7):
        rest = np.delete(np.arange(120), place)
        refitted = taught(rows[rest], classes[rest], weights[rest]).exact_scores(rows[[place]])[0]
        assert found[place] == pytest.approx(refitted, abs=1e-8 * np.abs(refitted).max())


def test_a_row_that_is_read_otherwise_now_is_left_out_as_it_was_learnt(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(analytic, "penalty", lambda *_: 3.7)
    monkeypatch.setattr(discriminant, "_correction", lambda counts, total, freedom: 0.7 / np.maximum(counts, 1e-9))
    rows, classes = rows_of(120)
    weights, now = np.random.default_rng(4).uniform(0.5, 2, 120), 0.3 + 0.6 * rows
    solved = taught(rows, classes, weights).solved
    assert solved is not None
    found = solved.scores_without(rows, classes, weights, asked=now)
    for place in range(0, 120, 7):
        rest = np.delete(np.arange(120), place)
        refitted = taught(rows[rest], classes[rest], weights[rest]).exact_scores(now[[place]])[0]
        assert found[place] == pytest.approx(refitted, abs=1e-8 * np.abs(refitted).max())
    same = solved.scores_without(rows, classes, weights)
    assert solved.scores_without(rows, classes, weights, asked=rows) == pytest.approx(same, abs=1e-9)


def test_a_row_that_cannot_be_left_out_is_scored_as_it_is_read_now() -> None:
    rows, classes = rows_of(120)
    classes[classes == CLASSES - 1] = 0
    classes[-1] = CLASSES - 1
    head, now = taught(rows, classes), 0.3 + 0.6 * rows
    assert head.solved is not None
    assert head.readout is not None
    plain = head.readout.scores(head.features(now))
    assert head.solved.scores_without(rows, classes, np.ones(120), asked=now)[-1] == pytest.approx(plain[-1])
    alone = head.solved.scores_without(rows[-1:], classes[-1:], np.ones(1), asked=now[-1:])
    assert alone[0] == pytest.approx(plain[-1])


def test_forgetting_minimises_the_faded_sum_of_squares() -> None:
    beta, rows, classes = 0.97, *rows_of(150)
    head = AnalyticHead(WIDTH, seed=3, forgetting=beta)
    head.grow(CLASSES)
    for start in range(0, 150, 11):
        head.learn(rows[start : start + 11], classes[start : start + 11])
    head.solve()
    faded = taught(rows, classes, beta ** np.arange(149, -1, -1.0))
    assert_alike(head, faded)
    assert head._exact is not None
    assert head._exact.ridge is not None
    psi, ages = head.features(rows), beta ** np.arange(149, -1, -1.0)
    lam = discriminant.penalty(head._sums.gram, float(head.counts.sum()), WIDTH)
    misses = np.eye(CLASSES)[classes] - psi @ head._exact.ridge
    gradient = psi.T @ (ages[:, None] * misses) - lam * head._exact.ridge
    assert gradient == pytest.approx(np.zeros_like(gradient), abs=1e-8)


def test_where_it_forgets_a_class_that_slept_wakes_as_faded_as_if_it_had_been_awake() -> None:
    rows, classes = rows_of(300)
    more, theirs = rows_of(40, seed=1)
    others = theirs != 2
    slept, awake = AnalyticHead(WIDTH, seed=3, forgetting=0.99), AnalyticHead(WIDTH, seed=3, forgetting=0.99)
    for head in (slept, awake):
        head.grow(CLASSES)
        head.learn(rows, classes)
    packet = slept.take_out(2)
    for head in (slept, awake):
        head.learn(more[others], theirs[others])
    slept.put_back(2, packet, slept_rows=int(others.sum()))
    for head in (slept, awake):
        head.solve()
    assert_alike(slept, awake)


@pytest.mark.parametrize("gone", [100, 600, 5000])
def test_where_it_forgets_a_class_that_stays_away_is_not_answered_everywhere(gone: int) -> None:
    generator = np.random.default_rng(0)
    centres = 2 * generator.normal(size=(CLASSES, WIDTH))
    head = AnalyticHead(WIDTH, seed=3, forgetting=0.99)
    head.grow(CLASSES)
    for classes in (generator.integers(0, CLASSES, 400), generator.integers(1, CLASSES, gone)):
        head.learn(centres[classes] + generator.normal(size=(len(classes), WIDTH)), classes)
    head.solve()
    asked = generator.integers(1, CLASSES, 500)
    said = head.exact_scores(centres[asked] + generator.normal(size=(500, WIDTH))).argmax(axis=1)
    assert np.mean(said == asked) > 0.7
    assert np.isneginf(head.exact_scores(centres)[:, 0]).all() == (gone == 5000)


def test_fewer_random_features_are_a_prefix_so_giving_some_up_is_exact(monkeypatch: pytest.MonkeyPatch) -> None:
    rows, classes = rows_of(300)
    head = taught(rows, classes)
    monkeypatch.setattr(analytic, "MOST_SUMS", 1000)
    head.grow(CLASSES + 2)
    head.solve()
    assert head.features.num_random == 128
    monkeypatch.setattr(analytic, "num_random_for", lambda width: 128)
    smaller = taught(rows, classes)
    asked, _ = rows_of(20, seed=7)
    found = head.exact_scores(asked)[:, :CLASSES]
    assert found == pytest.approx(smaller.exact_scores(asked), abs=1e-9 * np.abs(found).max())


def test_a_restored_head_says_and_learns_the_same_to_the_bit() -> None:
    rows, classes = rows_of(400)
    head, other = taught(rows[:350], classes[:350]), AnalyticHead(WIDTH, seed=3)
    head.learn(rows[350:360], classes[350:360])
    other.load(head.state())
    for one in (head, other):
        one.learn(rows[360:], classes[360:])
        one.solve()
    for name, array in head.state().items():
        assert array.tobytes() == other.state()[name].tobytes(), name


@pytest.mark.parametrize(("width", "expected"), [(1, 256), (20, 256), (22, 512), (64, 1024), (128, 1024), (512, 256)])
def test_the_number_of_random_features_follows_the_width(width: int, expected: int) -> None:
    assert num_random_for(width) == expected


def test_features_are_those_of_the_formula_and_of_the_seed() -> None:
    features = RandomFeatures(3, 64, seed=1)
    rows = np.random.default_rng(0).normal(size=(500, 3))
    psi = features(rows)
    assert psi.shape == (500, 68)
    assert (psi[:, 0] == 1).all()
    assert psi[:, 1:4] == pytest.approx(rows / 2)
    assert (psi[:, 4:] >= 0).all()
    assert np.array_equal(RandomFeatures(3, 64, seed=1)(rows), psi)
    assert not np.array_equal(RandomFeatures(3, 64, seed=2)(rows), psi)


def test_a_class_known_from_rows_that_stand_for_its_own_weighs_as_much_as_those_and_fades_nothing() -> None:
    rows, classes = rows_of(200)
    head = AnalyticHead(WIDTH, seed=3, forgetting=0.99)
    head.grow(6)
    head.learn(rows, classes)
    before = head.counts[:5].copy()
    head.know_from(5, rows[:64], 1000.0)
    assert head.counts[5] == 1000.0
    assert (head.counts[:5] == before).all()
