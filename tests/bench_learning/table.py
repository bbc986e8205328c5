"""Measurements against their bars, as Markdown for the docs and as JSON for everything else."""

import json
import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench_learning.measuring import Measurement
from bench_learning.row import Bar, Row


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One figure of one row at one batch size, over the seeds."""

    values: Sequence[float]
    missing: str = ""

    @property
    def text(self) -> str:
        """mean ± standard deviation."""
        if not self.values:
            return self.missing or "not run"
        missing = f" ({self.missing})" if self.missing else ""
        deviation = f" ± {short(statistics.stdev(self.values))}" if len(self.values) > 1 else ""
        return short(statistics.fmean(self.values)) + deviation + missing


@dataclass(frozen=True, kw_only=True)
class Line:
    """One line of the table: a bar, and the cell of each batch size."""

    row: Row
    bar: Bar
    cells: dict[int, Cell]

    @property
    def title(self) -> str:
        """The row's and the bar's."""
        return f"{self.row.title}: {self.bar.title}" if self.bar.title else self.row.title

    @property
    def is_reached(self) -> bool:
        """At every batch size; what is missing is not reached."""
        return all(
            bool(cell.values) and not cell.missing and self.bar.is_reached_by(self.bar.of(cell.values))
            for cell in self.cells.values()
        )

    @property
    def verdict(self) -> str:
        """In words."""
        if self.bar.at is None and self.is_reached:
            return ""
        if not self.is_reached:
            return "**missed**"
        aim = self.bar.aim
        aimed = aim is not None and all(self.bar.of(cell.values) >= aim for cell in self.cells.values())
        return "reached, and its aim" if aimed else "reached"

    def text_at(self, batch_rows: int) -> str:
        """The cell as it is shown; the value that counts is added where it is not the mean."""
        cell = self.cells.get(batch_rows)
        if cell is None:
            return ""
        if self.bar.over == "mean" or not cell.values:
            return cell.text
        return f"{self.bar.over} {short(self.bar.of(cell.values))}"

    @property
    def bar_text(self) -> str:
        """What must be reached, and what to aim at."""
        if self.bar.at is None:
            return ""
        sign = {"at least": "≥", "at most": "≤", "within": "±"}[self.bar.sense]
        aim = "" if self.bar.aim is None else f", aim {short(self.bar.aim)}"
        return f"{sign} {short(self.bar.at)}{f' {self.bar.unit}' if self.bar.unit else ''}{aim}"


def lines_of(rows: Sequence[Row], measurements: Sequence[Measurement]) -> list[Line]:
    """A line for every bar of every row."""
    return [
        Line(row=row, bar=bar, cells={batch: _cell(row, bar, batch, measurements) for batch in row.batches})
        for row in rows
        for bar in row.bars
    ]


Column = tuple[str, Callable[[Line], str]]
"""A column's title, and what it shows of a line."""

_JUDGED: tuple[Column, ...] = (("bar", lambda line: line.bar_text), ("", lambda line: line.verdict))


def markdown(lines: Sequence[Line], beside: Sequence[Column] = ()) -> str:
    """The tables as `docs/learning.md` holds them: of streams, and of what was timed alone; `beside` stand others."""
    streams = [line for line in lines if not line.row.alone]
    timed = [line for line in lines if line.row.alone]
    ours: tuple[Column, ...] = (
        ("stream", lambda line: line.title),
        ("batches of 32", lambda line: line.text_at(32)),
        ("of 1", lambda line: line.text_at(1)),
    )
    alone: tuple[Column, ...] = (
        ("speed and size", lambda line: line.title),
        ("measured", lambda line: line.text_at(line.row.batches[0])),
    )
    tables = [_table((*ours, *_JUDGED, *beside), streams), _table((*alone, *_JUDGED, *beside), timed)]
    return "\n\n".join(table for table in tables if table)


def _table(columns: Sequence[Column], lines: Sequence[Line]) -> str:
    if not lines:
        return ""
    rows = [[title for title, _ in columns], ["---"] * len(columns)]
    rows += [[show(line) for _, show in columns] for line in lines]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in rows)


def save(path: Path, lines: Sequence[Line], measurements: Sequence[Measurement], also: Mapping[str, object]) -> None:
    """Every measurement, and every line with its verdict."""
    document: dict[str, object] = {
        "lines": [
            {
                "row": line.row.key,
                "title": line.title,
                "figure": line.bar.figure,
                "bar": line.bar.at,
                "reached": line.is_reached,
                "values": {str(batch): list(cell.values) for batch, cell in line.cells.items()},
            }
            for line in lines
        ],
        "measurements": [measurement.to_json() for measurement in measurements],
        **also,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


def _cell(row: Row, bar: Bar, batch_rows: int, measurements: Sequence[Measurement]) -> Cell:
    ours = [one for one in measurements if one.row == row.key and one.batch_rows == batch_rows]
    reasons = sorted({one.missing for one in ours if one.missing})
    values = [one.figures[bar.figure] for one in sorted(ours, key=lambda one: one.seed) if bar.figure in one.figures]
    return Cell(values=values, missing="; ".join(reasons))


def short(value: float) -> str:
    """Accuracies as .985, large numbers without decimals."""
    if value == 0 or not math.isfinite(value):
        return f"{value:g}"
    if abs(value) < 1e-3:
        return f"{value:.1e}" if abs(value) < 5e-4 else f"{value:.4f}".replace("0.", ".")
    if abs(value) < 1:
        return f"{value:.3f}".replace("0.", ".")
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
