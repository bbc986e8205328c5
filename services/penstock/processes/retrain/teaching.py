"""A fresh model taught from a replay, with a bar that says how far it is."""

import sys
import time
from collections.abc import Callable, Iterable

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from penstock.adapters.kafka.topic_names import TopicNames
from penstock.flow import EventBatch, StepReport
from penstock.learning.learner import Learner
from penstock.processes.warm_start import read_weights, start_from
from penstock.settings import Settings

SHOWN_SECONDS = 0.1


class Pupil:
    """A learner that begins as a trainer without a checkpoint would, and how its learning goes."""

    def __init__(self, settings: Settings) -> None:
        """Raises `ConfigurationError` or `UnavailableError` where a warm start is configured and fails."""
        self.learner = Learner(
            settings.model,
            settings.training,
            settings.replay,
            topic=TopicNames(settings.model.name).labels,
            max_events=settings.intake.max_events,
            dedupe_window_events=settings.intake.dedupe_window_events,
        )
        if uri := settings.model.warm_start.uri:
            start_from(self.learner, read_weights(settings), uri)
        self.last_report: StepReport | None = None
        self.seconds = 0.0

    def learn(self, batches: Iterable[EventBatch], seen: Callable[[EventBatch], None] = lambda _: None) -> None:
        """Learn micro-batches in order; `seen` hears of each.

        Raises:
            DivergedError: the loss is no longer finite.
        """
        began = time.monotonic()
        for batch in batches:
            self.last_report = self.learner.learn(batch)
            seen(batch)
        self.seconds += time.monotonic() - began


class Bar:
    """Progress on standard error, if that is a terminal."""

    def __init__(self) -> None:
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[unit]}"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=Console(stderr=True),
            disable=not sys.stderr.isatty(),
        )

    def __enter__(self) -> "Bar":
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def stretch(self, what: str, total: int, unit: str) -> Callable[[int], None]:
        """A new line of `total` steps; call what is returned with how many are done."""
        task = self._progress.add_task(what, total=total, unit=unit)
        shown_at = 0.0

        def done(completed: int) -> None:
            nonlocal shown_at
            if completed >= total or time.monotonic() - shown_at > SHOWN_SECONDS:
                shown_at = time.monotonic()
                self._progress.update(task, completed=min(completed, total))

        return done
