"""Measurements in a few processes of one thread each, as they come."""

import multiprocessing
import signal
import time
import traceback
from collections.abc import Generator, Mapping, Sequence
from dataclasses import asdict, dataclass, field

from bench_learning.playing import Figures
from bench_learning.row import NotThereYetError, Row
from penstock.learning.device import use_threads

LIMIT_SECONDS = 600.0
"""No single measurement may take longer."""


@dataclass(frozen=True, kw_only=True)
class Job:
    """One measurement to make."""

    row: str
    seed: int
    batch_rows: int
    development: bool
    overrides: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """What came of it: `figures`, or `missing`, the sentence that says why there are none."""

    row: str
    seed: int
    batch_rows: int
    figures: Figures = field(default_factory=dict)
    missing: str = ""
    seconds: float = 0.0

    def to_json(self) -> dict[str, object]:
        return asdict(self)


def rows_of(*, development: bool) -> Sequence[Row]:
    """The registry a job's row stands in."""
    if development:
        from bench_learning.development import development_rows

        return development_rows()
    from bench_learning.reported import reported_rows

    return reported_rows()


def measured(jobs: Sequence[Job], num_processes: int, *, afresh: bool = False) -> Generator[Measurement]:
    """Every job's measurement, in the order in which they are ready, `afresh` each in a process of its own.

    Closing the iterator ends the processes.
    """
    if not jobs:
        return
    context = multiprocessing.get_context("spawn")
    with context.Pool(num_processes, initializer=_on_one_thread, maxtasksperchild=1 if afresh else None) as pool:
        ready = pool.imap_unordered(measure, jobs)
        for _ in jobs:
            yield ready.next(timeout=LIMIT_SECONDS)


def measure(job: Job) -> Measurement:
    """Make one measurement here; a failure of the row is a missing figure with its reason."""
    row = next(row for row in rows_of(development=job.development) if row.key == job.row)
    started = time.perf_counter()
    figures: Figures = {}
    missing = ""
    try:
        figures = row.measure(seed=job.seed, batch_rows=job.batch_rows, overrides=job.overrides)
    except NotThereYetError as error:
        missing = f"not there yet: {error}"
    except Exception as error:  # a row that fails must not take the others with it
        traceback.print_exc(limit=-2)
        missing = f"failed: {error!r}"
    return Measurement(
        row=job.row,
        seed=job.seed,
        batch_rows=job.batch_rows,
        figures=figures,
        missing=missing,
        seconds=time.perf_counter() - started,
    )


def _on_one_thread() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent ends us
    use_threads(1)
