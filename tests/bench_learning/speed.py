"""How fast it learns, and what many classes cost: decoded micro-batches in, one thread, nothing else running."""

import os
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import psutil

from bench_learning.lesson import Lesson
from bench_learning.playing import Figures
from bench_learning.row import Bar, Measure, Row
from bench_learning.stream import SMALL_MEMORY, Floats, Labels, Stream
from penstock.flow import EventBatch

Int64s = npt.NDArray[np.int64]

NUM_FEATURES = 20
BEST_PEER = 57_000.0
"""Events/s of the fastest other library that was known; where others are run beside us, the fastest of them counts."""
WARM_UP_ROWS, TIMED_ROWS = 20_000, 60_000
MILLION = 1_000_000
ARRIVING_CLASSES = 200
LINEAR_ALONE = {"model.heads": '["linear"]'}
CLASSES = (10, 100, 1_000, 10_000)
BORN_AT_ONCE = 1_000
EVENTS_PER_MS = 64
"""By their timestamps events come about as fast as they are learnt, so that what is done every second is done so."""


def speed_rows() -> Sequence[Row]:
    """Each is measured alone."""
    return [
        _rate_row("speed-32", "learnt, 20 features, 5 classes, batches of 32", rate_of(), 32),
        replace(
            _rate_row("speed-256", "learnt, 20 features, 5 classes, batches of 256", rate_of(), 256, 2 * BEST_PEER),
            stream=for_peers,
        ),
        _rate_row("speed-32-linear", "the same with the head `linear` alone, 32", rate_of(LINEAR_ALONE), 32),
        _rate_row("speed-256-linear", "the same with the head `linear` alone, 256", rate_of(LINEAR_ALONE), 256),
        Row(
            key="million",
            title=f"a million events, {ARRIVING_CLASSES} classes arriving: events/s in the last tenth ÷ the first",
            measure=arriving_classes,
            bars=(Bar(figure="last_to_first", at=0.95),),
            seeds=range(1),
            batches=(256,),
            alone=True,
        ),
        *(_many_classes_row(count) for count in CLASSES),
    ]


def held_to(rows: Sequence[Row], fastest: float) -> list[Row]:
    """The rows with the bar of events/s at twice a peer's that was measured beside us, if that is faster than known."""
    at = 2 * max(BEST_PEER, fastest)
    return [
        replace(row, bars=[replace(bar, at=at) for bar in row.bars]) if row.key == "speed-256" else row for row in rows
    ]


def for_peers(seed: int) -> Stream:
    """Five clouds; memory is small because that is faster for them."""
    return replace(_clouds(np.full(WARM_UP_ROWS, 5), seed), memory=SMALL_MEMORY)


def rate_of(also: Mapping[str, str] | None = None) -> Measure:
    """`events_per_second` of learning rows of five Gaussian clouds, once warm."""

    def measure(*, seed: int, batch_rows: int, overrides: Mapping[str, str] | None = None) -> Figures:
        stream = _clouds(np.full(WARM_UP_ROWS + TIMED_ROWS, 5), seed)
        lesson = Lesson(
            stream,
            seed=seed,
            batch_rows=batch_rows,
            overrides={**(overrides or {}), **(also or {})},
            events_per_ms=EVENTS_PER_MS,
        )
        batches = list(lesson.batches(stream.rows, stream.labels))
        warm = WARM_UP_ROWS // batch_rows
        _learn(lesson, batches[:warm])
        return {"events_per_second": TIMED_ROWS / _learn(lesson, batches[warm:])}

    return measure


def arriving_classes(*, seed: int, batch_rows: int, overrides: Mapping[str, str] | None = None) -> Figures:
    """`last_to_first`, and the rates themselves, while classes arrive evenly over a million events."""
    known = 1 + np.arange(MILLION) * ARRIVING_CLASSES // MILLION
    one_class = _clouds(known[:1], seed)
    lesson = Lesson(one_class, seed=seed, batch_rows=batch_rows, overrides=overrides, events_per_ms=EVENTS_PER_MS)
    seconds = []
    for tenth in np.split(known, 10):
        stream = _clouds(tenth, seed)
        seconds.append(_learn(lesson, list(lesson.batches(stream.rows, stream.labels))))
    assert len(lesson.learner.class_names) == ARRIVING_CLASSES
    first, last = (MILLION / 10 / seconds[place] for place in (0, -1))
    return {"last_to_first": last / first, "first_tenth": first, "last_tenth": last}


def many_classes(num_classes: int) -> Measure:
    """Every class is born, up to a thousand in one micro-batch; then 50,000 events of all of them."""

    def measure(*, seed: int, batch_rows: int, overrides: Mapping[str, str] | None = None) -> Figures:
        before = _resident_mib()
        some = _clouds(np.full(50_000, num_classes), seed)
        at_once = {"intake.max_events": str(BORN_AT_ONCE), **(overrides or {})}
        lesson = Lesson(some, seed=seed, batch_rows=batch_rows, overrides=at_once, events_per_ms=EVENTS_PER_MS)
        births = [_learn(lesson, [batch]) for batch in _births(lesson, num_classes, seed)]
        batches = list(lesson.batches(some.rows, some.labels))
        seconds = _learn(lesson, batches)
        started = time.perf_counter()
        _, weights = lesson.learner.capture(epoch=1, version=1, mlflow_run_id=None, full_reservoir=True)
        captured = time.perf_counter() - started
        asked = _clouds(np.full(2_000, num_classes), seed + 1, centres_seed=seed)
        return {
            "microseconds": 1e6 * seconds / len(some),
            "births_seconds": max(births),
            "capture_seconds": captured,
            "weights_mib": weights.size_bytes / 2**20,
            "resident_mib": _resident_mib() - before,
            "accuracy": float(lesson.served_hits(asked.rows, asked.labels).mean()),
        }

    return measure


def _rate_row(key: str, title: str, measure: Measure, batch_rows: int, at: float | None = None) -> Row:
    bar = Bar(figure="events_per_second", at=at, unit="events/s")
    return Row(key=key, title=title, measure=measure, bars=(bar,), seeds=range(3), batches=(batch_rows,), alone=True)


def _many_classes_row(num_classes: int) -> Row:
    figures = (
        Bar(figure="microseconds", title="time an event", at=None, unit="µs"),
        Bar(figure="births_seconds", title="a micro-batch of up to 1,000 new classes", at=None, unit="s"),
        Bar(figure="capture_seconds", title="capture for a checkpoint and an update", at=None, unit="s"),
        Bar(figure="weights_mib", title="weights file", at=None, unit="MiB"),
        Bar(figure="resident_mib", title="memory", at=None, unit="MiB"),
        Bar(figure="accuracy", title="accuracy over all of them", at=None),
    )
    return Row(
        key=f"classes-{num_classes}",
        title=f"{num_classes:,} classes",
        measure=many_classes(num_classes),
        bars=figures,
        seeds=range(1),
        batches=(256,),
        alone=True,
    )


def _births(lesson: Lesson, num_classes: int, seed: int) -> Iterator[EventBatch]:
    centres = _centres(num_classes, seed)
    for start in range(0, num_classes, BORN_AT_ONCE):
        classes = np.arange(start, min(start + BORN_AT_ONCE, num_classes))
        yield lesson.batch(centres[classes], classes.astype(str))


def _clouds(
    num_known: "np.ndarray[tuple[int], np.dtype[np.int64]]", seed: int, centres_seed: int | None = None
) -> Stream:
    """A row of one of the first `num_known[i]` classes for each i: Gaussian clouds about random centres."""
    rng = np.random.default_rng(seed)
    centres = _centres(int(num_known.max()), seed if centres_seed is None else centres_seed)
    classes = (rng.uniform(size=len(num_known)) * num_known).astype(np.int64)
    rows: Floats = centres[classes] + 0.5 * rng.normal(size=(len(classes), NUM_FEATURES))
    labels: Labels = classes.astype(str)
    return Stream(rows=rows, labels=labels)


def _centres(num_classes: int, seed: int) -> Floats:
    """The same for the classes that two calls share."""
    return np.random.default_rng([seed, 1]).normal(size=(num_classes, NUM_FEATURES))


def _learn(lesson: Lesson, batches: Sequence[EventBatch]) -> float:
    """Seconds."""
    started = time.perf_counter()
    for batch in batches:
        lesson.learner.learn(batch)
    return time.perf_counter() - started


def _resident_mib() -> float:
    return float(psutil.Process(os.getpid()).memory_info().rss / 2**20)
