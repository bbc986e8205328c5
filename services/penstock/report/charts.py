"""Charts as inline SVG: lines and stacked areas over the events learnt. Colours are the style sheet's."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from penstock.report.writing import cut, share, short_count, text

Float64s = npt.NDArray[np.float64]

WIDTH, HEIGHT = 960, 300
LEFT, RIGHT, TOP, BOTTOM = 56, 168, 26, 44
LABEL_GAP = 16
TICKS = 6


@dataclass(frozen=True, kw_only=True)
class Series:
    """One figure over time: `values` [n], nan where there was none; `colour` is a class of the style sheet."""

    name: str
    values: Float64s
    colour: str


@dataclass(frozen=True, kw_only=True)
class Mark:
    """Something that happened at an x."""

    x: float
    label: str
    title: str


@dataclass(frozen=True, kw_only=True)
class Frame:
    """Where things lie in a chart."""

    x_end: float
    y_low: float
    y_high: float

    def x(self, value: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * value / self.x_end

    def y(self, value: float) -> float:
        within = min(max(value, self.y_low), self.y_high)
        return TOP + (HEIGHT - TOP - BOTTOM) * (self.y_high - within) / (self.y_high - self.y_low)


def line_chart(
    x: Float64s,
    series: Sequence[Series],
    *,
    y_label: str,
    y_low: float = 0.0,
    y_high: float | None = None,
    x_end: float = 0.0,
    marks: Sequence[Mark] = (),
    y_text: Callable[[float], str] = short_count,
) -> str:
    """Lines over `x` [n], the events learnt, up to `x_end` at least; each is labelled with its last value."""
    frame = _frame(x, x_end, y_low, y_high if y_high is not None else _highest(series))
    lines = [_path(frame, x, each.values, f'class="line {each.colour}"') for each in series]
    return _chart(frame, x, series, y_label, y_text, [*_marks(frame, marks), *lines, *_end_labels(frame, series)])


def area_chart(x: Float64s, series: Sequence[Series], *, y_label: str, x_end: float = 0.0) -> str:
    """Shares that sum to 1, one on the other."""
    frame = _frame(x, x_end, 0.0, 1.0)
    tops = np.cumsum([np.nan_to_num(each.values) for each in series], axis=0)
    floors = np.vstack((np.zeros(len(x)), tops[:-1]))
    areas = [
        f'<path class="area {each.colour}" d="{_outline(frame, x, floor, top)}"/>'
        for each, floor, top in zip(series, floors, tops, strict=True)
    ]
    middles = [
        Series(name=each.name, values=(floor + top) / 2, colour=each.colour)
        for each, floor, top in zip(series, floors, tops, strict=True)
    ]
    shown = [share(float(each.values[-1])) for each in series]
    return _chart(frame, x, series, y_label, short_count, [*areas, *_end_labels(frame, middles, shown)])


def sparkline(values: Float64s, title: str) -> str:
    """A line from 0 to 1 without axes, over the whole life of the model."""
    known = np.flatnonzero(np.isfinite(values))
    if len(known) < 2:
        return ""
    last = max(len(values) - 1, 1)
    points = " ".join(f"{100 * place / last:.1f},{23 - 22 * values[place]:.1f}" for place in known.tolist())
    return (
        f'<svg class="spark" viewBox="0 0 100 24" preserveAspectRatio="none" role="img"><title>{text(title)}</title>'
        f'<line class="grid" x1="0" x2="100" y1="23" y2="23"/><polyline class="line c1" points="{points}"/></svg>'
    )


def ticks(low: float, high: float) -> list[float]:
    """Round values between these, both ends where they are round."""
    rough = (high - low) / TICKS
    size = 10 ** math.floor(math.log10(rough))
    step = next(factor * size for factor in (1, 2, 2.5, 5, 10) if factor * size >= rough)
    first = math.ceil(low / step - 1e-9)
    return [round(place * step, 12) for place in range(first, math.floor(high / step + 1e-9) + 1)]


def _frame(x: Float64s, x_end: float, y_low: float, y_high: float) -> Frame:
    return Frame(x_end=max(float(x[-1]), x_end, 1.0), y_low=y_low, y_high=max(y_high, y_low + 1e-9))


def _highest(series: Sequence[Series]) -> float:
    known = np.concatenate([each.values[np.isfinite(each.values)] for each in series])
    return 1.08 * float(known.max(initial=0.0)) or 1.0


def _chart(
    frame: Frame, x: Float64s, series: Sequence[Series], y_label: str, y_text: Callable[[float], str], body: list[str]
) -> str:
    names = ", ".join(each.name for each in series)
    return (
        f'<svg class="chart" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{text(names)} by events learnt">'
        f"{_axes(frame, y_label, y_text)}{''.join(body)}{_pointed_at(frame, x, series)}</svg>"
    )


def _axes(frame: Frame, y_label: str, y_text: Callable[[float], str]) -> str:
    right, bottom = WIDTH - RIGHT, HEIGHT - BOTTOM
    parts = [f'<text class="axis" x="{LEFT - 44}" y="{TOP - 12}">{text(y_label)}</text>']
    for value in ticks(frame.y_low, frame.y_high):
        y = frame.y(value)
        parts.append(f'<line class="grid" x1="{LEFT}" x2="{right}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(f'<text class="tick end" x="{LEFT - 8}" y="{y + 4:.1f}">{y_text(value)}</text>')
    for value in ticks(0, frame.x_end):
        parts.append(
            f'<text class="tick middle" x="{frame.x(value):.1f}" y="{bottom + 18}">{short_count(value)}</text>'
        )
    parts.append(f'<line class="base" x1="{LEFT}" x2="{right}" y1="{bottom}" y2="{bottom}"/>')
    parts.append(f'<text class="axis end" x="{right}" y="{bottom + 36}">events learnt</text>')
    return "".join(parts)


def _path(frame: Frame, x: Float64s, values: Float64s, attributes: str) -> str:
    """One stroke for each stretch without a gap."""
    strokes, pen = [], "M"
    for at, value in zip(x.tolist(), values.tolist(), strict=True):
        if not math.isfinite(value):
            pen = "M"
            continue
        strokes.append(f"{pen}{frame.x(at):.1f} {frame.y(value):.1f}")
        pen = "L"
    return f'<path {attributes} d="{"".join(strokes)}"/>' if strokes else ""


def _outline(frame: Frame, x: Float64s, floor: Float64s, top: Float64s) -> str:
    there = [f"{frame.x(at):.1f} {frame.y(value):.1f}" for at, value in zip(x.tolist(), top.tolist(), strict=True)]
    back = [f"{frame.x(at):.1f} {frame.y(value):.1f}" for at, value in zip(x.tolist(), floor.tolist(), strict=True)]
    return f"M{'L'.join((*there, *back[::-1]))}Z"


def _marks(frame: Frame, marks: Sequence[Mark]) -> list[str]:
    return [
        f'<g class="mark"><title>{text(mark.title)}</title>'
        f'<line x1="{frame.x(mark.x):.1f}" x2="{frame.x(mark.x):.1f}" y1="{TOP}" y2="{HEIGHT - BOTTOM}"/>'
        f'<text class="middle" x="{frame.x(mark.x):.1f}" y="{TOP - 6}">{text(mark.label)}</text></g>'
        for mark in marks
    ]


def _end_labels(frame: Frame, series: Sequence[Series], shown: Sequence[str] | None = None) -> list[str]:
    """A dot, the last value and the name at the end of each line, kept apart."""
    ends = []
    for place, each in enumerate(series):
        known = each.values[np.isfinite(each.values)]
        if len(known):
            value = float(known[-1])
            ends.append((frame.y(value), each, shown[place] if shown else share(value)))
    ends.sort(key=lambda end: end[0])
    heights = _apart([y for y, _, _ in ends])
    return [
        f'<circle class="dot {each.colour}" cx="{WIDTH - RIGHT + 12}" cy="{height - 4:.1f}" r="4"/>'
        f'<text class="label" x="{WIDTH - RIGHT + 22}" y="{height:.1f}">{value} {text(cut(each.name, 18))}</text>'
        for height, (_, each, value) in zip(heights, ends, strict=True)
    ]


def _apart(heights: Sequence[float]) -> list[float]:
    """Labels at about these ascending heights, none on another, none below the chart."""
    placed: list[float] = []
    for height in heights:
        placed.append(max(height + 4, placed[-1] + LABEL_GAP if placed else 0.0))
    limit = float(HEIGHT - BOTTOM + 4)
    for place in range(len(placed) - 1, -1, -1):
        placed[place] = limit = min(placed[place], limit)
        limit -= LABEL_GAP
    return placed


def _pointed_at(frame: Frame, x: Float64s, series: Sequence[Series]) -> str:
    """What a chart says under the pointer: all values of the nearest point."""
    edges = np.concatenate(([x[0]], (x[1:] + x[:-1]) / 2, [x[-1]]))
    parts = []
    for place, at in enumerate(x.tolist()):
        left, right = frame.x(float(edges[place])), frame.x(float(edges[place + 1]))
        values = "\n".join(f"{each.name} {share(float(each.values[place]))}" for each in series)
        parts.append(
            f'<rect class="spot" x="{left:.1f}" y="{TOP}" width="{max(right - left, 1):.1f}"'
            f' height="{HEIGHT - TOP - BOTTOM}"><title>{at:,.0f} events\n{text(values)}</title></rect>'
        )
    return f"<g>{''.join(parts)}</g>"
