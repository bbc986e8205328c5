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


def test_a_class_changes_state_and_keeps_its_index() -> None:
    ledger = ClassLedger()
    look_up(ledger, "a", "b", "c")
    ledger.change(1, "hibernated")
    assert ledger.live.tolist() == [True, False, True]
    assert look_up(ledger, "d", "b") == ([3, 1], ("d",))
    assert ledger.live.tolist() == [True, False, True, True]
    ledger.change(1, "live", awakened=True)
    assert [(entry.state, entry.generation) for entry in ledger.entries[:2]] == [("live", 0), ("live", 1)]
    assert ClassLedger.from_json(ledger.to_json()).entries == ledger.entries


def test_falling_asleep_and_waking_at_once_leaves_the_ledger_as_it_was() -> None:
    ledger = ClassLedger()
    look_up(ledger, "a", "b")
    digest = ledger.digest
    ledger.change(0, "hibernated")
    assert ledger.digest != digest
    ledger.change(0, "live")
    assert ledger.digest == digest


def test_retired_is_for_good() -> None:
    ledger = ClassLedger()
    look_up(ledger, "a")
    ledger.change(0, "retired")
    ledger.change(0, "retired")
    with pytest.raises(ValueError, match="class 'a' is retired, which is for good"):
        ledger.change(0, "live")
    assert look_up(ledger, "a") == ([0], ()), "the name is not given to another index"


def with_tenants(ledger: ClassLedger, **tenants_of: list[str | None]) -> None:
    labels = [label for label, tenants in tenants_of.items() for _ in tenants]
    tenants = pa.array([tenant for each in tenants_of.values() for tenant in each], pa.string())
    ledger.look_up(pa.array(labels), np.zeros(len(labels), np.int64), np.arange(len(labels)), tenants)


def test_a_class_is_its_first_tenants_until_anyone_else_names_it() -> None:
    ledger = ClassLedger()
    with_tenants(ledger, a=["t", "t"], b=["t"], c=["u"], d=[None, "t"], e=["t", None], f=["t", "u"], g=[""])
    assert [entry.tenant for entry in ledger.entries] == ["t", "t", "u", None, None, None, None]
    with_tenants(ledger, b=["t"], a=["t", "u"], c=["u"])
    assert ledger.of_tenant("t", "live") == (1,)
    look_up(ledger, "d", "b")
    assert ledger.of_tenant("t", "live") == ()
    with_tenants(ledger, b=["t"])
    assert ledger.entries[1].tenant is None, "who shared it once has not used it alone"
    ledger.change(2, "hibernated")
    assert (ledger.of_tenant("u", "live"), ledger.of_tenant("u", "hibernated")) == ((), (2,))
    again = ClassLedger.from_json(ledger.to_json())
    assert again.entries == ledger.entries
    look_up(again, "c")
    assert again.entries[2].tenant is None


@given(
    st.lists(
        st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from(["t", "u", None])), min_size=1, max_size=6),
        max_size=5,
    )
)
def test_only_the_tenants_of_all_its_events_decide_whose_a_class_is(
    batches: list[list[tuple[str, str | None]]],
) -> None:
    ledger = ClassLedger()
    seen: dict[str, set[str | None]] = {}
    for batch in batches:
        for label, tenant in batch:
            seen.setdefault(label, set()).add(tenant)
        ledger.look_up(
            pa.array([label for label, _ in batch]),
            np.zeros(len(batch), np.int64),
            np.arange(len(batch)),
            pa.array([tenant for _, tenant in batch], pa.string()),
        )
    for entry in ledger.entries:
        (first, *others) = seen[entry.name]
        assert entry.tenant == (None if others else first)


def test_a_name_can_be_entered_without_an_event_and_only_once() -> None:
    ledger = ClassLedger()
    look_up(ledger, "a")
    assert ledger.enter("b", "0:7", tenant="t") == 1
    assert look_up(ledger, "b", "a") == ([1, 0], ())
    with pytest.raises(ValueError, match="class 'b' is in the ledger already"):
        ledger.enter("b", "0:8")


def test_a_state_nobody_knows_is_refused() -> None:
    with pytest.raises(ValueError, match="class 'a' has the state 'asleep'"):
        ClassLedger.from_json([{"index": 0, "name": "a", "born_offset": "0:0", "state": "asleep", "generation": 0}])
