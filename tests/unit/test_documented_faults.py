"""docs/reliability.md has a row for every fault that is played, in its words."""

from penstock.failpoints import ACTIONS
from torture.page import PAGE, cells, key, parts
from torture.registry import FAULTS


def test_every_fault_has_its_row_and_no_row_is_of_anything_else() -> None:
    _, table, _ = parts(PAGE.read_text(encoding="utf-8"))
    assert list(cells(table)) == [key(fault) for fault in FAULTS]
    for fault, row in zip(FAULTS, table.splitlines(), strict=True):
        assert fault.injected in row
        assert fault.must_hold in row


def test_every_action_of_a_failpoint_is_described() -> None:
    assert all(f"`{action}`" in PAGE.read_text(encoding="utf-8") for action in ACTIONS)
