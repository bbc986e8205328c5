"""Real digits, two new classes at a time, one pass, 200 rows of memory: the cure for forgetting, and what it cures.

Settings were chosen on seeds 100 to 107; `python tests/bench/bench_digits.py` reports seeds 0 to 4.
"""

import pytest

from split_digits import SETTINGS, final_accuracy


def test_all_ten_digits_are_known_at_the_end_of_the_stream() -> None:
    assert final_accuracy(seed=0, settings=SETTINGS, capacity=200) > 0.9


def test_without_replay_only_the_newest_are() -> None:
    assert final_accuracy(seed=0, settings=SETTINGS, capacity=0) == pytest.approx(0.2, abs=0.1)
