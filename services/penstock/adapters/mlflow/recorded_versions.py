"""The versions of a model that MLflow has on record, with the figures they were announced with and those told later."""

import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from penstock.adapters.mlflow.config import MlflowConfig
from penstock.adapters.mlflow.connection import Connection
from penstock.adapters.mlflow.recovery import version_number
from penstock.adapters.mlflow.version_figures import FAMILY, TAG
from penstock.report.facts import RecordedVersion

if TYPE_CHECKING:
    from mlflow.entities import Metric
    from mlflow.entities.model_registry import ModelVersion

FIGURES = ("events_learnt", "prequential_accuracy", "prequential_loss")
TOLD_LATER = ("accuracy", "answers_accuracy")
NUMBER = re.compile("[01][.][0-9]+")


def recorded_versions(config: MlflowConfig, model: str, most: int) -> list[RecordedVersion]:
    """The newest `most` versions, newest first.

    Raises:
        UnavailableError: MLflow does not answer.
    """
    connection = Connection(config)
    with connection.failures_as_unavailable():
        client = connection.client()
        versions = client.search_model_versions(f"name='{model}'", max_results=most, order_by=["version_number DESC"])
        runs = {str(version.run_id) for version in versions if version.run_id}
        points = {
            (run, name): _by_step(client.get_metric_history(run, name)) for run in sorted(runs) for name in FIGURES
        }
    return [_recorded(version, points) for version in versions]


def _recorded(
    version: "ModelVersion", points: Mapping[tuple[str, str], Mapping[int, tuple[float, int]]]
) -> RecordedVersion:
    number, run = version_number(version), str(version.run_id)
    figures = {name: points[run, name][number] for name in FIGURES if number in points.get((run, name), {})}
    announced_at_ms = max((at_ms for _, at_ms in figures.values()), default=int(version.creation_timestamp or 0))
    return RecordedVersion(
        version=number,
        announced_at_ms=announced_at_ms,
        figures={name: value for name, (value, _) in figures.items()} | _told_later(version),
    )


def _told_later(version: "ModelVersion") -> dict[str, float]:
    """What its tags say of how good it was."""
    found = {FAMILY + name: version.tags.get(TAG + name, "") for name in TOLD_LATER}
    return {name: float(text) for name, text in found.items() if NUMBER.fullmatch(text)}


def _by_step(history: "Iterable[Metric]") -> dict[int, tuple[float, int]]:
    """Value and time by version, which is a metric's step."""
    return {int(point.step): (float(point.value), int(point.timestamp)) for point in history}
