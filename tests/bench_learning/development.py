"""The streams that defaults are chosen on: other generators, other data and other seeds than any that is reported.

Bars here are only expectations that hold or break (an alarm where nothing changed); for the rest a figure is compared
with itself before and after a change.
"""

from collections.abc import Sequence

from bench_learning import click, hibernation
from bench_learning.row import Bar, Row, streamed
from bench_learning.stream import StreamOf
from bench_learning.streams import blobs, letters, other_generators, worlds

SEEDS = range(100, 103)


def development_rows() -> Sequence[Row]:
    """Class-incremental ones first, then those with changes, then stationary ones."""
    return (
        _final("letters", "split letters, memory 200", letters.split_letters),
        _final("letters-blurry", "letters, random order, blurry borders", letters.blurry_letters),
        _final("letters-long-tail", "long-tail letters 1:20", letters.long_tail_letters),
        _final("blobs", "split blobs, 10 classes, memory 200", blobs.split_blobs),
        _final("hard", "hard tasks, 20 classes, memory 1,000", blobs.hard_tasks),
        _prequential("stagger", "STAGGER 0, 1, 2, 0", other_generators.stagger_changes),
        _prequential("mixed", "Mixed label flips", other_generators.mixed_flips),
        _prequential("agrawal", "Agrawal 0, 2, 6", other_generators.agrawal_changes),
        _prequential("plane", "turning plane", worlds.turning_plane),
        _prequential("clouds", "wandering clouds", worlds.wandering_clouds),
        _prequential("rare", "rare and moving classes", worlds.rare_and_moving),
        _prequential("habits", "habits: labels that last", worlds.habits),
        _prequential("sheets", "question sheets, every other one as one before", worlds.question_sheets),
        _prequential("waves", "Waveform", other_generators.waves),
        _prequential("tree", "random tree", other_generators.random_tree),
        _prequential("wine", "wine", blobs.wine),
        _prequential("breast-cancer", "breast cancer", blobs.breast_cancer),
        hibernation.row("letters-hibernate", letters.letters_at_once).with_seeds(SEEDS),
        click.row("letters-click", letters.letters_at_once).with_seeds(SEEDS),
    )


def _final(key: str, title: str, stream: StreamOf) -> Row:
    shown = [Bar(figure=figure, title=figure, at=None) for figure in ("final", "balanced", "prequential")]
    bars = (*shown, Bar(figure="alarms", title="alarms, none of which is right", at=0, over="most", sense="at most"))
    return Row(key=key, title=title, measure=streamed(stream), bars=bars, seeds=SEEDS)


def _prequential(key: str, title: str, stream: StreamOf) -> Row:
    bars = tuple(Bar(figure=figure, title=figure, at=None) for figure in ("prequential", "alarms"))
    return Row(key=key, title=title, measure=streamed(stream), bars=bars, seeds=SEEDS, batches=(32, 1))
