"""The mixture is never much worse than its best member, and finds out which that is."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.learning.heads.mixture import FLOOR, Mixture, mixed, opinions

ROWS, CLASSES, MEMBERS = 400, 4, 5


def brier(probabilities: np.ndarray, classes: np.ndarray) -> np.ndarray:
    found: np.ndarray = np.square(probabilities - np.eye(CLASSES)[classes]).sum(axis=-1)
    return found


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), batch=st.sampled_from([1, 8, 32]), sharpness=st.floats(0.1, 20))
def test_without_fading_it_stays_within_its_regret_bound_of_the_best_member(
    seed: int, batch: int, sharpness: float
) -> None:
    """ln K/η for rows one at a time; a batch's rows are all weighed as its first one, at up to 2 each beyond that."""
    generator = np.random.default_rng(seed)
    classes = generator.integers(0, CLASSES, ROWS)
    skill = generator.uniform(0, 1, MEMBERS)
    right = generator.random((MEMBERS, ROWS)) < skill[:, None]
    said = np.where(right, classes, generator.integers(0, CLASSES, (MEMBERS, ROWS)))
    scores = sharpness * np.eye(CLASSES)[said]
    mixture = Mixture(MEMBERS, fading=1.0)
    of_mixture, of_members = 0.0, np.zeros(MEMBERS)
    for start in range(0, ROWS, batch):
        some, theirs = scores[:, start : start + batch], classes[start : start + batch]
        found = opinions(some, np.ones(MEMBERS), CLASSES)
        of_mixture += brier(mixed(found, mixture.weights), theirs).sum()
        of_members += brier(found, theirs[None]).sum(axis=1)
        mixture.learn(some, found, theirs, 0.0)
    assert of_mixture <= of_members.min() + np.log(MEMBERS) / 0.1 + 2 * (batch - 1)


def test_it_follows_a_change_of_the_best_member() -> None:
    mixture, classes = Mixture(2), np.zeros(32, dtype=np.int64)
    good, bad = np.tile([4.0, 0, 0, 0], (32, 1)), np.tile([0.0, 4, 0, 0], (32, 1))
    for best in (0, 1):
        for _ in range(20):
            scores = np.stack((good, bad) if best == 0 else (bad, good))
            mixture.learn(scores, opinions(scores, mixture.temperatures, CLASSES), classes, 0.0)
        assert mixture.weights[best] > 0.95


def test_a_single_class_turns_nothing_however_long_it_stays_alone() -> None:
    """All that is left of a gradient is rounding, and of a member without an opinion not even that."""
    mixture, classes = Mixture(3), np.zeros(512, dtype=np.int64)
    scores = np.tile(np.array([2.7, -0.3, 0.0])[:, None, None], (1, 512, 1))
    for _ in range(300):
        mixture.learn(scores, opinions(scores, mixture.temperatures, 1), classes, 0.0)
    assert mixture.temperatures == pytest.approx(np.ones(3))
    assert mixture.weights == pytest.approx(np.full(3, 1 / 3))


def test_absence_flattens_the_weights() -> None:
    weights = []
    for absence in (0.0, 0.9):
        mixture = Mixture(2)
        scores = np.stack((np.tile([2.0, 0, 0, 0], (8, 1)), np.tile([0.0, 0.5, 0, 0], (8, 1))))
        mixture.learn(scores, opinions(scores, np.ones(2), CLASSES), np.zeros(8, dtype=np.int64), absence)
        weights.append(mixture.weights[0])
    assert weights[0] > weights[1] > 0.5


@pytest.mark.parametrize("too_sure", [1.0, 10.0, 100.0])
def test_a_head_that_is_too_sure_of_itself_is_cooled_until_its_word_can_be_taken(too_sure: float) -> None:
    """A closed-form head with few rows is 5 to 25 times too sure, and would rule any mixture or be thrown out of it."""
    generator = np.random.default_rng(0)
    mixture = Mixture(1)
    losses = []
    for _ in range(200):
        classes = generator.integers(0, CLASSES, 32)
        scores = (np.eye(CLASSES)[classes] + generator.normal(size=(32, CLASSES)))[None] * too_sure
        found = opinions(scores, mixture.temperatures, CLASSES)
        plain = opinions(scores, np.ones(1), CLASSES)
        rows = np.arange(32)
        losses.append((-np.log(found[0, rows, classes]).mean(), -np.log(plain[0, rows, classes]).mean()))
        mixture.learn(scores, found, classes, 0.0)
    with_it, without = np.array(losses[100:]).mean(axis=0)
    assert with_it <= without + 0.01
    assert mixture.temperatures[0] * too_sure == pytest.approx(1.0, rel=0.5)  # unit noise about a unit step


def test_every_class_keeps_a_little_probability_except_those_that_cannot_be() -> None:
    scores = np.array([[[50.0, 0.0, -np.inf, -50.0]]])
    (found,) = opinions(scores, np.ones(1), 3)[0]
    assert found.sum() == pytest.approx(1)
    assert found[2] == 0
    assert found[3] == pytest.approx(FLOOR / 3)


def test_members_can_step_aside() -> None:
    mixture = Mixture(3)
    mixture.weights = np.array([0.2, 0.5, 0.3])
    mixture.keep(np.array([0, 2]))
    assert mixture.weights == pytest.approx([0.4, 0.6])


def test_a_restored_mixture_goes_on_alike() -> None:
    generator = np.random.default_rng(1)
    one, other = Mixture(3), Mixture(3)
    for number in range(6):
        scores, classes = generator.normal(size=(3, 9, CLASSES)), generator.integers(0, CLASSES, 9)
        if number == 3:
            other.load(one.state())
        for mixture in (one, other) if number >= 3 else (one,):
            mixture.learn(scores, opinions(scores, mixture.temperatures, CLASSES), classes, 0.2)
    for name, array in one.state().items():
        assert array.tobytes() == other.state()[name].tobytes(), name
