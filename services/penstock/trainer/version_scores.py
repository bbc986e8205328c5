"""How good one version was: scores of the events that came between its capture and the next one's."""

from collections.abc import Mapping
from dataclasses import dataclass

from penstock.flow import StepReport
from penstock.learning.watching.observed import ObservedRows
from penstock.learning.watching.scores import Kappas, StreamScores

PREFIX = "previous_version/"
ACCURACY = PREFIX + "accuracy"
ALL_ALIKE = 1.0
"""The fading of scores that do not fade."""
KEPT = 32
"""Versions on record whose scores are still said again, in case MLflow was away."""


class VersionScores:
    """Keeps predictions since the last capture; the learner's thread alone."""

    def __init__(self) -> None:
        self._rows: list[ObservedRows] = []
        self._version = 0

    def add(self, report: StepReport) -> None:
        """After every micro-batch."""
        if len(report.labels):
            rows = ObservedRows(labels=report.labels, predicted=report.predicted, losses=report.losses)
            self._rows.append(rows)

    def take(self, captured: int) -> dict[str, float]:
        """Scores of the version captured before, now that version `captured` is the newest.

        Nothing if no event was scored since; what a trainer learns before its first capture was answered by a version
        of another process, whose number is not known here: `version` is then missing.
        """
        version, self._version = self._version, captured
        if not self._rows:
            return {}
        rows, self._rows = ObservedRows.joined(self._rows), []
        scores, kappas = StreamScores(ALL_ALIKE), Kappas(ALL_ALIKE)
        scores.update(rows)
        kappas.update(rows)
        return {
            ACCURACY: scores.accuracy,
            f"{PREFIX}loss": scores.loss,
            f"{PREFIX}kappa": kappas.kappa,
            f"{PREFIX}kappa_temporal": scores.kappa_temporal,
            f"{PREFIX}events_scored": float(len(rows)),
        } | ({f"{PREFIX}version": float(version)} if version else {})


@dataclass(frozen=True, kw_only=True)
class OwnScores:
    """Implements `record_ports.ScoredVersion`."""

    version: int
    events: int
    accuracy: float
    loss: float

    def with_more(self, metrics: Mapping[str, float]) -> "OwnScores":
        """These and, weighted by their events, those that an update says of the version before it."""
        more = metrics.get(f"{PREFIX}events_scored", 0.0)
        events = self.events + more
        if not more:
            return self

        def mean(mine: float, name: str) -> float:
            return mine + (metrics[PREFIX + name] - mine) * more / events

        return OwnScores(
            version=self.version,
            events=int(events),
            accuracy=mean(self.accuracy, "accuracy"),
            loss=mean(self.loss, "loss"),
        )


class RecordedScores:
    """Scores of the versions that are put on record, each from its capture to that of the next; one thread's alone."""

    def __init__(self) -> None:
        self._own: tuple[OwnScores, ...] = ()

    def announced(self, metrics: Mapping[str, float]) -> None:
        """A version was, with these metrics."""
        if self._own:
            *before, newest = self._own
            self._own = (*before, newest.with_more(metrics))

    def recorded(self, version: int) -> tuple[OwnScores, ...]:
        """Note that `version` goes on record; returns what is known of those before it, oldest first."""
        known = tuple(own for own in self._own if own.events)
        self._own = (*known, OwnScores(version=version, events=0, accuracy=0.0, loss=0.0))[-KEPT:]
        return known
