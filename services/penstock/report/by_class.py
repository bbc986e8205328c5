"""The classes: ledger, recall over time, what was forgotten; what the reservoir holds of each."""

import numpy as np
import numpy.typing as npt

from penstock.learning.ledger import ClassEntry
from penstock.learning.watching.details import Details
from penstock.report.charts import sparkline
from penstock.report.facts import Facts
from penstock.report.writing import count, cut, name, share, short_count, text

SHOWN = 32
LISTED = 2000
BARS = 24
BAR_HEIGHT, BAR_LEFT, BAR_WIDTH = 24, 190, 960


def classes(facts: Facts, details: Details) -> str:
    """One row a class; of many classes those that lost most, and the rest as a plain ledger."""
    entries = facts.ledger.entries
    forgotten = _padded(details.classes.forgotten, len(entries))
    chosen = np.arange(len(entries))
    if len(entries) > SHOWN:
        chosen = np.sort(np.argsort(-forgotten, kind="stable")[:SHOWN])
    head = (
        '<th>class</th><th class="number">index</th><th>state</th><th class="number">events</th>'
        '<th>recall over time</th><th class="number">now</th><th class="number">best</th><th>forgotten</th>'
        '<th class="number">log-loss</th><th class="number">kappa</th>'
        '<th class="number">kappa-temporal</th><th class="number">last seen</th><th>born at</th>'
    )
    rows = "".join(_class_row(facts, details, entries[place]) for place in chosen.tolist())
    words = (
        "Recall is the share of a class's own events predicted right before they were learnt; it fades with events of "
        "the class only. Forgotten is the best it ever was (from 30 events on) minus now. Born at is partition:offset "
        "of the first event."
    )
    more = f" Shown are the {SHOWN} of {count(len(entries))} that lost most." if len(entries) > SHOWN else ""
    return (
        f'<section><h2>Classes</h2><p class="soft">{words}{more}</p><div class="scroll"><table><thead><tr>{head}</tr>'
        f"</thead><tbody>{rows}</tbody></table></div>{_whole_ledger(facts)}</section>"
    )


def reservoir(facts: Facts) -> str:
    """How many rows are remembered of each class."""
    long_term, newest = facts.reservoir_rows, facts.window_rows
    rows = long_term + newest
    words = f"{count(int(rows.sum()))} of {count(facts.reservoir_capacity)} rows are kept for replay."
    if not rows.any():
        return f'<section><h2>Reservoir</h2><p class="soft">{words}</p></section>'
    words += " Bars are rows by class: the long-term memory"
    words += f" and, lighter, the {count(int(newest.sum()))} newest of all." if newest.any() else "."
    largest = np.argsort(-rows, kind="stable")[:BARS]
    shown = np.sort(largest[rows[largest] > 0])
    bars = [(facts.ledger.entries[place].name, int(long_term[place]), int(newest[place])) for place in shown.tolist()]
    others = np.setdiff1d(np.flatnonzero(rows), shown)
    if len(others):
        bars.append((f"{count(len(others))} others", int(long_term[others].sum()), int(newest[others].sum())))
    return f'<section><h2>Reservoir</h2><p class="soft">{words}</p>{_bars(bars)}</section>'


def _class_row(facts: Facts, details: Details, entry: ClassEntry) -> str:
    scores, place = details.classes, entry.index
    asked = place < len(scores) and scores.rows[place] > 0
    recalls = details.history.recalls
    over_time = sparkline(recalls[place], f"recall of {entry.name}") if place < len(recalls) else ""
    lost = float(scores.forgotten[place]) if asked else 0.0
    kappas, temporal = details.kappas.kappa_by_class(), details.kappas.kappa_temporal_by_class()
    figures = (
        [
            count(int(facts.class_events[place])),
            over_time,
            share(float(scores.recall[place])),
            share(float(scores.best_recall[place])) if scores.is_established[place] else "–",
            f'<span class="meter"><i style="width:{min(lost, 1):.0%}"></i></span> {share(lost)}',
            share(float(scores.loss[place])),
            share(float(kappas[place])),
            share(float(temporal[place])),
            _last_seen(facts.watch.events - int(scores.last_event[place])),
        ]
        if asked
        else [count(int(facts.class_events[place])), "", "–", "–", "–", "–", "–", "–", "never"]
    )
    alignment = ["number", "", "number", "number", "", "number", "number", "number", "number"]
    cells = "".join(f'<td class="{side}">{figure}</td>' for side, figure in zip(alignment, figures, strict=True))
    return (
        f'<tr><td class="wide">{name(entry.name)}</td><td class="number">{entry.index}</td><td>{_state(entry)}</td>'
        f"{cells}<td>{text(entry.born_offset)}</td></tr>"
    )


def _last_seen(events_ago: int) -> str:
    return f"{short_count(events_ago)} events ago" if events_ago else "just now"


def _state(entry: ClassEntry) -> str:
    woken = f", woken {entry.generation}×" if entry.generation else ""
    return f'<span class="state {entry.state}">{entry.state}{woken}</span>'


def _whole_ledger(facts: Facts) -> str:
    """The ledger itself, where the table above does not show all of it."""
    entries = facts.ledger.entries
    if len(entries) <= SHOWN:
        return ""
    rows = "".join(
        f'<tr><td class="number">{entry.index}</td><td>{name(entry.name)}</td><td>{_state(entry)}</td>'
        f"<td>{text(entry.born_offset)}</td></tr>"
        for entry in entries[:LISTED]
    )
    left_out = f"<p>… and {count(len(entries) - LISTED)} more.</p>" if len(entries) > LISTED else ""
    return (
        f"<details><summary>The ledger, {count(len(entries))} classes</summary><table><thead><tr>"
        '<th class="number">index</th><th>class</th><th>state</th><th>born at</th></tr></thead>'
        f"<tbody>{rows}</tbody></table>{left_out}</details>"
    )


def _bars(bars: list[tuple[str, int, int]]) -> str:
    """Of each label, long-term rows and after them the newest."""
    most = max(held + newest for _, held, newest in bars)
    scale = (BAR_WIDTH - BAR_LEFT - 90) / most
    parts = []
    for place, (label, held, newest) in enumerate(bars):
        y, end = place * BAR_HEIGHT, BAR_LEFT + scale * held
        shape = f'y="{y + 4}" height="{BAR_HEIGHT - 8}"'
        parts.append(
            f"<g><title>{text(label)}: {count(held)} long-term, {count(newest)} newest</title>"
            f'<text class="end" x="{BAR_LEFT - 10}" y="{y + 16}">{text(cut(label))}</text>'
            f'<rect class="bar c1" x="{BAR_LEFT}" width="{scale * held:.1f}" {shape}/>'
            f'<rect class="bar c1" x="{end:.1f}" width="{scale * newest:.1f}" fill-opacity="0.4" {shape}/>'
            f'<text class="label" x="{end + scale * newest + 8:.1f}" y="{y + 16}">{count(held + newest)}</text></g>'
        )
    return (
        f'<svg viewBox="0 0 {BAR_WIDTH} {len(bars) * BAR_HEIGHT}" role="img" aria-label="rows kept by class">'
        f"{''.join(parts)}</svg>"
    )


def _padded(values: npt.NDArray[np.generic], length: int) -> npt.NDArray[np.float64]:
    padded = np.zeros(length)
    padded[: len(values)] = values[:length]
    return padded
