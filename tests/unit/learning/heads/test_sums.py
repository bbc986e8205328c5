"""A row leaves the sums in place; they are asked whether they can spare it only where it is not known to be in them."""

import numpy as np
import pytest
from torch import Tensor

from penstock.learning.heads.analytic import AnalyticHead
from penstock.learning.heads.cholesky import Factor, factor_of

WIDTH, CLASSES = 5, 4


@pytest.mark.parametrize("weight", [1.0, 2.5])
@pytest.mark.parametrize("is_sure", [True, False])
@pytest.mark.parametrize("is_alone", [True, False])
def test_a_row_that_is_sure_to_be_in_the_sums_leaves_without_a_factorisation(
    weight: float, is_sure: bool, is_alone: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    generator = np.random.default_rng(0)
    classes = generator.integers(0, CLASSES - 1, 300)
    rows, row = generator.normal(size=(300, WIDTH)) + classes[:, None], generator.normal(size=WIDTH)
    label = CLASSES - 1 if is_alone else 0
    head, without = (AnalyticHead(WIDTH, seed=3) for _ in range(2))
    for each in (head, without):
        each.grow(CLASSES)
        each.learn(rows, classes)
    head.learn(row[None], np.array([label]), np.array([weight]))
    factorised = [0]

    def counted(matrix: Tensor) -> Factor:
        factorised[0] += 1
        return factor_of(matrix)

    monkeypatch.setattr("penstock.learning.heads.sums.factor_of", counted)
    assert head.retract_known(row, label, weight, is_sure=is_sure)
    assert factorised == [0 if is_sure else 1]
    without.sums_of(0)  # takes in what waits
    mine, other = head.state(), without.state()
    for name in ("gram", "sums", "counts", "squares"):
        found, expected = np.asarray(mine[name]), np.asarray(other[name])
        assert found == pytest.approx(expected, abs=1e-9 * np.abs(expected).max()), name


def test_a_row_that_the_sums_cannot_spare_changes_nothing() -> None:
    generator = np.random.default_rng(0)
    head = AnalyticHead(WIDTH, seed=3)
    head.grow(1)
    head.learn(generator.normal(size=(30, WIDTH)), np.zeros(30, dtype=np.int64))
    head.sums_of(0)  # takes in what waits
    before = head.state()
    assert not head.retract_known(generator.normal(size=WIDTH) * 50, 0, 1.0, is_sure=False)
    assert not head.retract_known(generator.normal(size=WIDTH), 0, 31.0, is_sure=True)
    assert all(np.array_equal(np.asarray(before[name]), np.asarray(head.state()[name])) for name in before)


def test_once_a_row_left_of_which_nothing_is_known_every_later_one_is_asked_about() -> None:
    generator = np.random.default_rng(0)
    rows, classes = generator.normal(size=(30, WIDTH)), np.arange(30) % 3
    far = generator.normal(size=WIDTH) * 5
    head, restored = AnalyticHead(WIDTH, seed=3), AnalyticHead(WIDTH, seed=3)
    head.grow(3)
    head.learn(np.concatenate((rows, far[None])), np.append(classes, 0))
    assert head.retract_known(far, 0, 1.0, is_sure=False)
    restored.load(head.state())
    for each in (head, restored):
        assert not each.retract_known(far, 0, 1.0, is_sure=True)
    head.forget_all()
    head.learn(far[None], np.array([0]))
    assert head.retract_known(far, 0, 1.0, is_sure=True)
