"""The class ledger is append-only: an index means one class for good."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.learning.ledger import ClassEntry, ClassLedger


def look_up(ledger: ClassLedger, *labels: str, first_offset: int = 0) -> tuple[list[int], tuple[str, ...]]:
    count = len(labels)
    indices, new = ledger.look_up(
        pa.array(labels, pa.string()), np.full(count, 2), np.arange(first_offset, first_offset + count)
    )
    return indices.tolist(), new


def test_new_names_are_entered_in_order_of_appearance_with_their_first_offset() -> None:
    ledger = ClassLedger()
    assert look_up(ledger, "zebra", "ant", "zebra", "bee", first_offset=40) == ([0, 1, 0, 2], ("zebra", "ant", "bee"))
    assert [entry.born_offset for entry in ledger.entries] == ["2:40", "2:41", "2:43"]
    assert {entry.state for entry in ledger.entries} == {"live"}


def test_a_name_that_sorts_first_moves_nobody() -> None:
    ledger = ClassLedger()
    look_up(ledger, "m", "z")
    assert look_up(ledger, "z", "a", "m") == ([1, 2, 0], ("a",))
    assert ledger.names == ("m", "z", "a")


def test_known_names_alone_add_nothing() -> None:
    ledger = ClassLedger()
    look_up(ledger, "m", "z")
    digest = ledger.digest
    assert look_up(ledger, "z", "z") == ([1, 1], ())
    assert ledger.digest == digest


@given(st.lists(st.lists(st.text(min_size=1, max_size=3), min_size=1, max_size=10), max_size=8))
def test_indices_never_change_and_the_ledger_survives_json(batches: list[list[str]]) -> None:
    ledger = ClassLedger()
    meaning: dict[str, int] = {}
    for labels in batches:
        indices, new = look_up(ledger, *labels)
        for label, index in zip(labels, indices, strict=True):
            assert meaning.setdefault(label, index) == index
        assert set(new) <= set(labels)
    assert list(meaning) == list(ledger.names)
    again = ClassLedger.from_json(ledger.to_json())
    assert again.to_json() == ledger.to_json()
    assert again.digest == ledger.digest


def test_the_digest_depends_on_the_order_of_birth() -> None:
    first, second = ClassLedger(), ClassLedger()
    look_up(first, "a", "b")
    look_up(second, "b", "a")
    assert first.digest != second.digest


@pytest.mark.parametrize(
    "entries",
    [
        [ClassEntry(index=1, name="a", born_offset="0:0")],
        [ClassEntry(index=0, name="a", born_offset="0:0"), ClassEntry(index=1, name="a", born_offset="0:1")],
    ],
)
def test_entries_that_skip_an_index_or_repeat_a_name_are_refused(entries: list[ClassEntry]) -> None:
    with pytest.raises(ValueError, match="indices must count up from 0 and names must be unique"):
        ClassLedger(entries)
