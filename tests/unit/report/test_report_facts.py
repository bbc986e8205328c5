"""The facts of a real learner's checkpoint are those of the learner."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from controlled_streams import Told, every
from drifting_model import NAMES, captured, learnt, plane_learner, saved
from labelled_rows import PLANE
from penstock.adapters.disk.outline import outline
from penstock.report.from_checkpoint import COLUMNS, TENSORS, facts_of
from penstock.report.page import page


def test_as_much_of_a_checkpoint_as_it_needs_gives_the_page_of_the_whole(tmp_path: Path) -> None:
    learner = plane_learner(PLANE)
    learnt(learner, calm=30, swapped=10)
    checkpoint = captured(learner)[0]
    outlined = outline(saved(learner, tmp_path), tensors=TENSORS, columns=COLUMNS)
    assert page(facts_of(outlined, made_at_ms=1)) == page(facts_of(checkpoint, made_at_ms=1))


def test_facts_are_those_of_the_learner() -> None:
    learner = plane_learner(PLANE)
    learnt(learner, calm=30, swapped=10)
    facts = facts_of(captured(learner, version=9)[0], made_at_ms=77, sources=["Here."])
    assert (facts.model, facts.version, facts.events_learnt, facts.made_at_ms) == ("plane", 9, 1280, 77)
    assert facts.ledger.names == learner.class_names
    assert facts.watch.scores.accuracy == learner.watch.scores.accuracy
    assert facts.watch.alarms.newest == learner.watch.alarms.newest
    assert int(facts.window_rows.sum()) == 100
    assert int(facts.class_events.sum()) == 1280
    assert int(facts.reservoir_rows.sum() + facts.window_rows.sum()) == facts.reservoir_capacity == 400
    assert set(np.flatnonzero(facts.reservoir_rows)) == set(range(len(NAMES)))


def test_classes_that_sleep_wake_or_are_retired_are_told_as_the_ledger_has_them() -> None:
    told = Told()
    told.events(every(range(5), 60), seed=1)
    told.classes("hibernate", "c0", "c1")
    told.classes("retire", "c2")
    told.events(every([0, 2, 3, 4], 30), seed=2)
    facts = facts_of(told.capture()[0], made_at_ms=0)
    index = {entry.name: entry.index for entry in facts.ledger.entries}
    assert facts.watch.events == facts.events_learnt == 5 * 60 + 3 * 30
    assert facts.class_events[index["c0"]] == 90
    assert facts.reservoir_rows[index["c1"]] == facts.window_rows[index["c1"]] == 0
    shown = page(facts)
    for name, state in (("c0", "live, woken 1×"), ("c1", "hibernated"), ("c2", "retired"), ("c3", "live")):
        row = shown[shown.index(f">{name}<", shown.index("<h2>Classes</h2>")) :]
        assert f">{state}<" in row[: row.index("</tr>")], name


def test_a_checkpoint_of_before_there_was_watching_has_no_facts() -> None:
    checkpoint = captured(plane_learner())[0]
    older = replace(checkpoint, state={name: value for name, value in checkpoint.state.items() if name != "watch"})
    with pytest.raises(KeyError, match="watch"):
        facts_of(older, made_at_ms=1)
