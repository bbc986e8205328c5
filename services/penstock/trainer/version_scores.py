"""How good one version was: scores of the events that came between its capture and the next one's."""

from penstock.flow import StepReport
from penstock.learning.watching.observed import ObservedRows
from penstock.learning.watching.scores import Kappas, StreamScores

PREFIX = "previous_version/"
ALL_ALIKE = 1.0
"""The fading of scores that do not fade."""


class VersionScores:
    """Keeps predictions since the last capture; the learner's thread alone."""

    def __init__(self) -> None:
        self._rows: list[ObservedRows] = []

    def add(self, report: StepReport) -> None:
        """After every micro-batch."""
        if len(report.labels):
            rows = ObservedRows(labels=report.labels, predicted=report.predicted, losses=report.losses)
            self._rows.append(rows)

    def take(self) -> dict[str, float]:
        """Scores of the version captured before, once the next is captured; nothing if no event was scored since."""
        if not self._rows:
            return {}
        rows, self._rows = ObservedRows.joined(self._rows), []
        scores, kappas = StreamScores(ALL_ALIKE), Kappas(ALL_ALIKE)
        scores.update(rows)
        kappas.update(rows)
        return {
            f"{PREFIX}accuracy": scores.accuracy,
            f"{PREFIX}loss": scores.loss,
            f"{PREFIX}kappa": kappas.kappa,
            f"{PREFIX}kappa_temporal": scores.kappa_temporal,
            f"{PREFIX}events_scored": float(len(rows)),
        }
