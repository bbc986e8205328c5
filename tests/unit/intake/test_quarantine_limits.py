"""When a stream of invalid events stops the trainer."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.errors import PoisonedStreamError
from penstock.intake.config import IntakeConfig
from penstock.intake.quarantine import Quarantine

SENTENCE = "label is empty; it must have 1 to 256 characters."


def quarantine(window: int = 10, ratio: float = 0.5, run: int = 1000) -> Quarantine:
    return Quarantine(IntakeConfig(invalid_window=window, max_invalid_ratio=ratio, max_invalid_run=run))


def note(limit: Quarantine, outcomes: str) -> None:
    """A batch: `+` is an accepted event, `-` an invalid one."""
    limit.note(np.array([outcome == "+" for outcome in outcomes], dtype=np.bool_), SENTENCE)


def test_unless_configured_it_is_half_of_the_last_thousand_or_a_thousand_in_a_row() -> None:
    limit = Quarantine(IntakeConfig())
    note(limit, "+-" * 500)
    with pytest.raises(PoisonedStreamError, match=r"501 of the last 1000 events were invalid; .* is 0\.5"):
        note(limit, "--")
    limit = Quarantine(IntakeConfig(invalid_window=10**6))
    note(limit, "-" * 999)
    with pytest.raises(PoisonedStreamError, match=r"1000 events in a row were invalid; .* is 1000"):
        note(limit, "-")


def test_up_to_the_ratio_of_the_window_may_be_invalid() -> None:
    limit = quarantine()
    note(limit, "-+" * 50)
    with pytest.raises(PoisonedStreamError) as error:
        note(limit, "--")
    assert str(error.value) == (
        "Too many invalid events: 6 of the last 10 events were invalid; intake.max_invalid_ratio is 0.5. "
        f"The last one: {SENTENCE} "
        "Look at the dead-letter topic, correct the producer or [[model.features]], and start again."
    )


def test_the_ratio_is_measured_only_once_the_window_is_full() -> None:
    limit = quarantine()
    note(limit, "-" * 9)
    with pytest.raises(PoisonedStreamError, match="10 of the last 10"):
        note(limit, "-")


def test_what_has_left_the_window_no_longer_counts() -> None:
    limit = quarantine()
    note(limit, "-----+++++")
    note(limit, "+++++")
    note(limit, "-----")
    assert not limit.is_clean
    note(limit, "+" * 10)
    assert limit.is_clean


def test_a_run_of_invalid_events_stops_across_batches() -> None:
    limit = quarantine(window=10**6, run=5)
    note(limit, "---")
    note(limit, "")
    note(limit, "-")
    with pytest.raises(PoisonedStreamError, match=r"5 events in a row were invalid; intake\.max_invalid_run is 5"):
        note(limit, "-+")


def test_what_is_refused_after_all_counts_towards_both_limits() -> None:
    limit = quarantine(run=4)
    note(limit, "+++++")
    limit.refused_later(1, 3, 3, SENTENCE)
    with pytest.raises(PoisonedStreamError, match="4 events in a row were invalid"):
        limit.refused_later(4, 1, 1, SENTENCE)
    limit = quarantine(ratio=0.5)
    note(limit, "+" * 10)
    limit.refused_later(0, 10, 5, SENTENCE)
    with pytest.raises(PoisonedStreamError, match="6 of the last 10 events were invalid"):
        limit.refused_later(0, 10, 1, SENTENCE)


def test_one_valid_event_ends_a_run() -> None:
    limit = quarantine(window=10**6, run=5)
    for outcomes in ("----+----", "+", "----", "+----", "+---+----+"):
        note(limit, outcomes)


@given(st.lists(st.text("+-", max_size=12), max_size=12), st.integers(1, 6), st.integers(1, 10))
def test_both_limits_are_those_of_counting_one_by_one(batches: list[str], run: int, window: int) -> None:
    limit, seen = quarantine(window=window, run=run), ""
    for outcomes in batches:
        before, seen = seen, seen + outcomes
        ending_runs = [seen[: end + 1] for end in range(len(before), len(seen))]
        too_long = any(text.endswith("-" * run) for text in ending_runs)
        newest = seen[-window:]
        too_many = len(newest) == window and newest.count("-") > window / 2
        if too_long or too_many:
            with pytest.raises(PoisonedStreamError):
                note(limit, outcomes)
            return
        note(limit, outcomes)
