"""The page is one whole document that fetches nothing, shows what it is for, and stays small."""

import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest

from penstock.learning.watching.watch import Watch
from penstock.report.page import page
from report_facts import NASTY, facts_of

NONE = np.zeros(0, dtype=np.int64)
VOID = {"meta", "br", "line", "circle", "rect", "polyline", "path"}


class Outline(HTMLParser):
    """Titles of sections, all visible text, and whether every element is closed in order."""

    def __init__(self, content: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.sections: list[str] = []
        self.words: list[str] = []
        self.feed(content)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        if tag not in VOID or (tag != "meta" and not self.get_starttag_text().endswith("/>")):  # type: ignore[union-attr]
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)
        if self.open and self.open[-1] == "h2":
            self.sections.append(data)

    @property
    def text(self) -> str:
        return " ".join(self.words)


def test_it_shows_everything_it_is_for() -> None:
    outline = Outline(page(facts_of(("a", "b", "c"))))
    assert outline.sections == [
        "Accuracy over time",
        "Log-loss over time",
        "Mixture of heads",
        "Drift",
        "Classes",
        "Confusion",
        "Reservoir",
        "Versions on record",
    ]
    for shown in (
        "kappa-temporal",
        "▼1",
        "forgotten",
        "hibernated",
        "0:2",
        "events learnt",
        "0.750 analytic",
        "777",
        "0.457",
    ):
        assert shown in outline.text, shown
    assert "Made from the checkpoint of step 125." in outline.text


def test_it_fetches_nothing_and_runs_nothing() -> None:
    content = page(facts_of((NASTY, "b")))
    assert not re.search(r"https?:|//|src=|href=|url\(|@import|<script|<link|<iframe|<object", content)
    assert "script" not in Outline(content).tags


def test_names_of_classes_are_shown_as_they_are() -> None:
    content = page(facts_of((NASTY, "b")))
    assert "&lt;script&gt;alert(" in content
    assert NASTY[:27] + "…" in Outline(content).text


def test_what_no_page_may_hold_is_masked_in_names() -> None:
    content = page(facts_of(("nul\x00", "red\x1b[31m", "c")))
    assert "nul\ufffd" in content
    assert "red\ufffd[31m" in content
    assert all(line.isprintable() for line in content.split("\n"))


def test_light_and_dark_are_both_there() -> None:
    content = page(facts_of(("a",)))
    assert "prefers-color-scheme: dark" in content
    assert not re.search(r'(fill|stroke|color)="#', content)  # every colour is the style sheet's


@pytest.mark.parametrize("num_classes", [0, 1, 2, 40, 500, 3000])
def test_any_number_of_classes_makes_a_whole_page_of_bounded_size(num_classes: int) -> None:
    names = tuple(f"class {index}" for index in range(num_classes))
    content = page(facts_of(names, num_events=9_000))
    outline = Outline(content)
    assert len(content) < 1_500_000
    assert ("The ledger, 3,000 classes" in outline.text) == (num_classes == 3000)
    assert ("… and 1,000 more." in outline.text) == (num_classes == 3000)


@pytest.mark.parametrize("num_events", [3, 30, 600])
def test_a_model_that_has_hardly_begun_has_a_page(num_events: int) -> None:
    outline = Outline(page(facts_of(("a", "b"), num_events=num_events, drift=False)))
    assert "No alarm so far." in outline.text


def test_a_model_that_has_learnt_nothing_says_so() -> None:
    facts = replace(
        facts_of(()), watch=Watch(0.99), class_events=NONE, reservoir_rows=NONE, window_rows=NONE, recorded=()
    )
    outline = Outline(page(facts))
    assert "Too few events so far to draw a line." in outline.text
    assert "Versions on record" not in outline.text


def test_an_alarm_stands_with_its_size_classes_and_recovery() -> None:
    facts = facts_of(("a", "b"))
    (alarm,) = facts.watch.alarms.newest
    text = Outline(page(facts)).text
    assert f"+{100 * alarm.size:.1f} points" in text
    assert "not yet" in text
    assert "1 not recovered" in text
