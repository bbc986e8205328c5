"""What the newcomer sees while it runs: a live table on a terminal, plain lines elsewhere."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from rich.console import Console, Group
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

PLAIN_SECONDS = 2.0


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """One moment of the demo."""

    stage: str
    num_produced: int
    num_total: int
    num_learnt: int
    events_per_second: float
    classes: int
    versions: tuple[int, ...]
    freshness_p50: float | None
    freshness_p99: float | None
    accuracy: float | None
    baseline_accuracy: float | None
    by_digit: dict[int, float] = field(default_factory=dict)
    baseline_by_digit: dict[int, float] = field(default_factory=dict)


class View:
    """Shows snapshots; `say` prints a line that stays."""

    def __init__(self) -> None:
        self._console = Console(highlight=False)
        self._live: Live | None = None
        self._plain_at = 0.0

    @contextmanager
    def showing(self) -> Iterator[None]:
        """While inside, snapshots are drawn."""
        if not sys.stdout.isatty():
            yield
            return
        with Live(console=self._console, refresh_per_second=8, transient=True) as live:
            self._live = live
            try:
                yield
            except KeyboardInterrupt:
                live.transient = False  # the terminal's ^C stands in the picture, which would not go away whole
                raise
            finally:
                self._live = None

    def say(self, text: str) -> None:
        """A line of its own."""
        if sys.stdout.isatty():
            self._console.print(text, soft_wrap=True)
        else:
            print(text, flush=True)  # noqa: T201 - plain progress lines are this view's purpose

    def table(self, table: Table) -> None:
        """A table that stays."""
        self._console.print(table)

    def show(self, snapshot: Snapshot) -> None:
        """Draw this moment; without a terminal, as a line every two seconds."""
        if self._live is not None:
            self._live.update(_panel(snapshot))
        elif time.monotonic() - self._plain_at >= PLAIN_SECONDS and not sys.stdout.isatty():
            self._plain_at = time.monotonic()
            self.say(_line(snapshot))


def _panel(snapshot: Snapshot) -> Panel:
    facts = Table.grid(padding=(0, 2))
    facts.add_column(style="dim", justify="right")
    facts.add_column()
    facts.add_row(
        "events",
        f"{snapshot.num_learnt:,} learnt of {snapshot.num_produced:,} produced "
        f"({snapshot.num_total:,} in all), {snapshot.events_per_second:.0f}/s",
    )
    facts.add_row("classes", f"{snapshot.classes} known")
    facts.add_row(
        "replicas", "   ".join(f"#{index} {_version(version)}" for index, version in enumerate(snapshot.versions, 1))
    )
    facts.add_row("freshness", _freshness(snapshot) + "  label produced → first answer that has learnt it")
    digits = Table(box=None, padding=(0, 1, 0, 0))
    digits.add_column("accuracy", style="dim", no_wrap=True)
    for digit in range(10):
        digits.add_column(str(digit), justify="right", width=4)
    digits.add_column("so far", justify="right")
    digits.add_row("with replay", *_cells(snapshot.by_digit), _share(snapshot.accuracy))
    digits.add_row("without replay", *_cells(snapshot.baseline_by_digit), _share(snapshot.baseline_accuracy))
    return Panel(Group(facts, Text(), digits), title=f"penstock demo · {snapshot.stage}", title_align="left")


def _cells(by_digit: dict[int, float]) -> list[Text]:
    return [_share(by_digit.get(digit), missing="") for digit in range(10)]


def _share(value: float | None, missing: str = "–") -> Text:
    if value is None:
        return Text(missing, style="dim")
    style = "green" if value >= 0.9 else "yellow" if value >= 0.6 else "red"
    return Text(f"{value:.2f}", style=style)


def _freshness(snapshot: Snapshot) -> str:
    if snapshot.freshness_p50 is None or snapshot.freshness_p99 is None:
        return "–"
    return f"p50 {snapshot.freshness_p50 * 1000:.0f} ms, p99 {snapshot.freshness_p99 * 1000:.0f} ms"


def _version(version: int) -> str:
    return f"version {version}" if version else "no model yet"


def _line(snapshot: Snapshot) -> str:
    if not snapshot.num_produced:
        return f"{snapshot.stage}: trainers and replicas are not all there yet"
    versions = ", ".join(_version(version) for version in snapshot.versions)
    return (
        f"{snapshot.stage}: {snapshot.num_learnt}/{snapshot.num_total} events learnt, "
        f"{snapshot.events_per_second:.0f}/s, {snapshot.classes} classes, replicas at {versions}, "
        f"freshness {_freshness(snapshot)}, accuracy {_share(snapshot.accuracy)} with replay, "
        f"{_share(snapshot.baseline_accuracy)} without"
    )
