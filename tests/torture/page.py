"""`python tests/torture/page.py` puts what bench/torture.json measured into the table of docs/reliability.md.

What was measured of a fault before stays there until it is measured again.
"""

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

TESTS = Path(__file__).parent.parent
sys.path[:0] = [str(TESTS)]

from torture.fault import Fault  # noqa: E402 - the path is set first
from torture.registry import FAULTS  # noqa: E402

PAGE = TESTS.parent / "docs" / "reliability.md"
RESULTS = Path("bench/torture.json")
HEAD = "| | fault | what is injected | what must hold | tried | measured |\n|---|---|---|---|---|---|\n"
UNTRIED = ("in `make test`", "")
SHOWN = 3
"""Significant digits."""


def main() -> None:
    """Write the page."""
    text = PAGE.read_text(encoding="utf-8")
    before, table, after = parts(text)
    measured = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else {}
    kept = cells(table)
    rows = [
        _row(fault, _tried(measured[fault.name]) if fault.name in measured else kept.get(key(fault), UNTRIED))
        for fault in FAULTS
    ]
    PAGE.write_text(before + HEAD + "".join(rows) + after, encoding="utf-8")


def parts(text: str) -> tuple[str, str, str]:
    """What stands before the table, its rows, and what stands behind it."""
    before, _, rest = text.partition(HEAD)
    lines = rest.splitlines(keepends=True)
    end = next((number for number, line in enumerate(lines) if not line.startswith("|")), len(lines))
    return before, "".join(lines[:end]), "".join(lines[end:])


def cells(table: str) -> dict[tuple[str, str], tuple[str, str]]:
    """By number and title, the last two cells of each row."""
    rows = [[cell.strip() for cell in line.strip().strip("|").split("|")] for line in table.splitlines()]
    return {(row[0], row[1]): (row[4], row[5]) for row in rows}


def key(fault: Fault) -> tuple[str, str]:
    """What tells a fault's row."""
    return str(fault.number), fault.title


def _row(fault: Fault, tried: tuple[str, str]) -> str:
    return f"| {fault.number} | {fault.title} | {fault.injected} | {fault.must_hold} | {tried[0]} | {tried[1]} |\n"


def _tried(measured: Mapping[str, Any]) -> tuple[str, str]:
    seed, tries, failed = min(map(int, measured["tries"])), len(measured["tries"]), len(measured["failed"])
    outcome = "all held" if not failed else f"{failed} did not hold"
    figures = [_figure(name, figure) for name, figure in measured["figures"].items()]
    return f"{tries} × from seed {seed}: {outcome}", "; ".join(figures)


def _figure(name: str, figure: Mapping[str, float]) -> str:
    p50, p99 = (
        f"{figure[each]:,.{SHOWN}g}" if figure[each] < 1000 else f"{figure[each]:,.0f}" for each in ("p50", "p99")
    )
    return f"{name}: {p50}" if p50 == p99 else f"{name}: p50 {p50}, p99 {p99} (n {figure['n']:,.0f})"


if __name__ == "__main__":
    main()
