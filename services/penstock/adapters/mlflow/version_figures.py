"""How good each registered version was, told once it is known: metrics whose step is the version, tags of the version.

A version on record stands for those announced after it until the next one on record.
"""

from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence

from penstock.adapters.mlflow.connection import Connection
from penstock.adapters.mlflow.recovery import version_number
from penstock.flow import JudgedAnswers
from penstock.trainer.record_ports import Announced, ScoredVersion

FAMILY = "version/"
TAG = "penstock."
MOST = 32
"""The newest registered versions of which anything is still told."""

Figures = Mapping[str, float]


class VersionFigures:
    """What was told of which version."""

    def __init__(self, connection: Connection, model: str) -> None:
        self._connection = connection
        self._model = model
        self._told: dict[int, Figures] = {}
        self._numbers: dict[int, int] | None = None

    def tell(self, run_id: str, announced: Announced, newest: int) -> None:
        """Log what is new; what fails is told again with the next record. `newest` is the registry's own number."""
        from mlflow.entities import Metric

        registered = self._registered(announced.update.version, newest)
        found = figures_of(sorted(registered)[-MOST:], announced.scored, announced.judged)
        news = {version: figures for version, figures in found.items() if self._told.get(version) != figures}
        if not news:
            return
        client, at_ms = self._connection.client(), announced.update.announced_at_ms
        metrics = [
            Metric(FAMILY + name, value, at_ms, version)
            for version, figures in news.items()
            for name, value in figures.items()
        ]
        client.log_batch(run_id, metrics=metrics)
        for version, figures in news.items():
            for name, value in figures.items():
                text = f"{value:.0f}" if name.endswith("events") else f"{value:.6f}"
                client.set_model_version_tag(self._model, str(registered[version]), TAG + name, text)
            self._told[version] = figures
        self._told = dict(sorted(self._told.items())[-MOST:])

    def _registered(self, version: int, number: int) -> Mapping[int, int]:
        """The registry's numbers of the newest versions, by Penstock's; asked for once."""
        if self._numbers is None:
            found = self._connection.client().search_model_versions(
                f"name='{self._model}'", max_results=MOST, order_by=["version_number DESC"]
            )
            self._numbers = {version_number(each): int(each.version) for each in found}
        self._numbers[version] = number
        self._numbers = dict(sorted(self._numbers.items())[-MOST:])
        return self._numbers


def figures_of(
    registered: Sequence[int], scored: Iterable[ScoredVersion], judged: Iterable[JudgedAnswers]
) -> dict[int, Figures]:
    """By registered version: `accuracy`, `loss`, `scored_events` before learning; `answers_accuracy`, `answers_events`.

    Answers of a version that is not on record count for the registered one before it.
    """
    found: dict[int, dict[str, float]] = {}
    for own in scored:
        if own.version in registered:
            found[own.version] = {"accuracy": own.accuracy, "loss": own.loss, "scored_events": float(own.events)}
    sums: dict[int, tuple[int, int]] = {}
    for one in judged:
        place = bisect_right(registered, one.version)
        if place:
            events, right = sums.get(registered[place - 1], (0, 0))
            sums[registered[place - 1]] = (events + one.events, right + one.right)
    for version, (events, right) in sums.items():
        found.setdefault(version, {}).update(answers_accuracy=right / events, answers_events=float(events))
    return dict(sorted(found.items()))
