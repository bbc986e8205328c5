"""The confusion matrix as a heat map."""

import numpy as np

from penstock.learning.watching.confusion import NAMED_CLASSES
from penstock.learning.watching.details import Details
from penstock.learning.watching.observed import Float64s
from penstock.report.facts import Facts
from penstock.report.writing import cut, percent, text

WITH_NUMBERS = 16
"""Up to so many classes, the shares stand in the cells."""
WIDTH, LEFT = 960, 170
LARGEST_CELL = 52
LEAST_SHARE = 0.005


def confusion(facts: Facts, details: Details) -> str:
    """Rows are what a label was, columns what was predicted."""
    counts = details.confusion.counts
    shown = np.flatnonzero(counts.sum(axis=1) + counts.sum(axis=0) > 0)
    if not len(shown):
        return ""
    names = [_name(facts, place) for place in shown.tolist()]
    words = (
        "Shares of each row: of the events with this label, how many were predicted as which class before they were "
        "learnt. A class that stays away keeps its row."
    )
    if len(counts) > NAMED_CLASSES:
        words += f" Classes after the first {NAMED_CLASSES} share the last row and column."
    return (
        f'<section><h2>Confusion</h2><p class="soft">{words}</p>{_map(counts[np.ix_(shown, shown)], names)}</section>'
    )


def _map(counts: Float64s, names: list[str]) -> str:
    size = len(names)
    top = 34 + 5 * min(max(map(len, names)), 16)
    cell = min((WIDTH - LEFT - 20) / size, LARGEST_CELL)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1e-12)
    parts = ['<text class="axis" x="0" y="14">label ↓ predicted →</text>']
    for place, name in enumerate(names):
        middle = (place + 0.5) * cell
        label = text(cut(name, 20))
        parts.append(f'<text class="end" x="{LEFT - 8}" y="{top + middle + 4:.1f}">{label}</text>')
        parts.append(
            f'<text transform="translate({LEFT + middle + 3:.1f} {top - 8}) rotate(-50)">{text(cut(name, 16))}</text>'
        )
    parts.extend(
        _cell(row, column, float(shares[row, column]), cell, top, names, numbered=size <= WITH_NUMBERS)
        for row, column in np.argwhere(shares >= LEAST_SHARE).tolist()
    )
    edge = size * cell
    parts.append(f'<rect x="{LEFT}" y="{top}" width="{edge:.1f}" height="{edge:.1f}" fill="none" class="base"/>')
    return (
        f'<svg viewBox="0 0 {WIDTH} {top + edge + 6:.0f}" role="img" aria-label="confusion matrix">'
        f"{''.join(parts)}</svg>"
    )


def _cell(row: int, column: int, value: float, size: float, top: int, names: list[str], *, numbered: bool) -> str:
    x, y = LEFT + column * size, top + row * size
    colour = "c1" if row == column else "c2"
    title = text(f"{names[row]} predicted as {names[column]}: {percent(value)}")
    square = (
        f'<rect class="cell {colour}" x="{x + 0.5:.1f}" y="{y + 0.5:.1f}" width="{size - 1:.1f}"'
        f' height="{size - 1:.1f}" fill-opacity="{0.08 + 0.92 * value:.2f}"><title>{title}</title></rect>'
    )
    if not numbered:
        return square
    ink = "on" if value > 0.55 else "off"
    number = f'<text class="middle {ink}" pointer-events="none" x="{x + size / 2:.1f}" y="{y + size / 2 + 4:.1f}">'
    return f"{square}{number}{100 * value:.0f}</text>"


def _name(facts: Facts, place: int) -> str:
    return "all others" if place >= NAMED_CLASSES else facts.ledger.entries[place].name
