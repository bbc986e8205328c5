"""Axes, lines and labels of the charts."""

import re

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from penstock.report.charts import HEIGHT, LABEL_GAP, WIDTH, Mark, Series, area_chart, line_chart, sparkline, ticks


def line(values: list[float], name: str = "a") -> Series:
    return Series(name=name, values=np.array(values), colour="c1")


@given(low=st.floats(-1e3, 1e3), span=st.floats(1e-6, 1e9))
def test_ticks_are_few_round_and_within(low: float, span: float) -> None:
    found = ticks(low, low + span)
    assert 1 <= len(found) <= 8
    assert all(low - 1e-6 * span <= tick <= low + span * (1 + 1e-6) + 1e-9 for tick in found)


def test_a_gap_in_the_values_is_a_gap_in_the_line() -> None:
    chart = line_chart(np.arange(1.0, 6.0), [line([0.1, 0.2, np.nan, 0.4, 0.5])], y_label="y", y_high=1.0)
    path = re.search(r'<path class="line c1" d="([^"]*)"', chart)
    assert path is not None
    assert path[1].count("M") == 2
    assert path[1].count("L") == 2


@given(values=st.lists(st.floats(-5, 5), min_size=1, max_size=8))
def test_labels_at_the_ends_do_not_cover_each_other_and_stay_inside(values: list[float]) -> None:
    chart = line_chart(
        np.array([10.0]),
        [line([value], f"s{place}") for place, value in enumerate(values)],
        y_label="y",
        y_low=-1.0,
        y_high=1.0,
    )
    heights = sorted(float(y) for y in re.findall(r'<text class="label" x="[\d.]+" y="(-?[\d.]+)"', chart))
    assert len(heights) == len(values)
    assert np.diff(heights).min(initial=LABEL_GAP) >= LABEL_GAP - 0.2
    assert heights[0] > 0
    assert heights[-1] < HEIGHT


def test_every_point_lies_inside_the_chart() -> None:
    chart = line_chart(
        np.array([1.0, 50.0, 100.0]),
        [line([-3.0, 0.5, 9.0])],
        y_label="y",
        y_high=1.0,
        x_end=200.0,
        marks=[Mark(x=150.0, label="m", title="t")],
    )
    for x, y in re.findall(r"[ML]([\d.-]+) ([\d.-]+)", chart):
        assert 0 <= float(x) <= WIDTH
        assert 0 <= float(y) <= HEIGHT


def test_a_chart_says_all_values_under_the_pointer() -> None:
    chart = line_chart(np.array([5.0, 9.0]), [line([0.25, 0.5], "x"), line([np.nan, 1.0], "z")], y_label="y")
    assert "5 events\nx 0.250\nz –" in chart
    assert "9 events\nx 0.500\nz 1.000" in chart


def test_areas_lie_one_on_the_other_up_to_one() -> None:
    chart = area_chart(np.array([1.0, 2.0]), [line([0.4, 0.1], "p"), line([0.6, 0.9], "q")], y_label="y")
    floor, top = re.findall(r'<path class="area c1" d="M([^"]*)Z"', chart)
    assert floor.split("L")[:2] == top.split("L")[:1:-1]
    assert "0.100 p" in chart
    assert "0.900 q" in chart


def test_a_sparkline_begins_where_the_class_did() -> None:
    drawn = sparkline(np.array([np.nan, np.nan, 0.0, 1.0, 1.0]), "recall of a")
    assert 'points="50.0,23.0 75.0,1.0 100.0,1.0"' in drawn
    assert sparkline(np.array([np.nan, 1.0]), "too short") == ""
