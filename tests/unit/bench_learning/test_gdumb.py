"""The baseline that trains from scratch on what is kept."""

import numpy as np

from bench_learning.gdumb import play_from_scratch, trained_from_scratch
from bench_learning.streams import digits


def test_it_learns_what_its_rows_say_and_nothing_else() -> None:
    generator = np.random.default_rng(0)
    classes = generator.integers(0, 3, 60)
    centres = 4 * np.eye(3, 5)
    rows = (centres[classes] + generator.normal(size=(60, 5))).astype(np.float32)
    names = np.array(["a", "b", "c"])
    trained = trained_from_scratch(rows, classes, names, seed=0)
    others = generator.integers(0, 2, 200)
    asked = (centres[others] + generator.normal(size=(200, 5))).astype(np.float32)
    assert np.mean(trained.answers(asked) == names[others]) > 0.95
    without = trained_from_scratch(rows[classes != 2], classes[classes != 2], names, seed=0)
    assert "c" not in without.answers(rows)


def test_the_same_seed_trains_the_same_network() -> None:
    rows = np.random.default_rng(1).normal(size=(40, 5)).astype(np.float32)
    classes, names = np.arange(40) % 4, np.array(list("abcd"))
    one, again, other = (trained_from_scratch(rows, classes, names, seed=seed) for seed in (0, 0, 1))
    found = [dict(each.network.state_dict())["0.weight"] for each in (one, again, other)]
    assert found[0].equal(found[1])
    assert not found[0].equal(found[2])


def test_on_digits_it_is_given_as_many_rows_as_the_memory_holds() -> None:
    figures = play_from_scratch(digits.split_digits(0), seed=0, batch_rows=32)
    assert figures["rows"] == 200
    assert 0.7 < figures["final"] < 0.97
