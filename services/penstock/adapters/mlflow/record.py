"""Announced models in MLflow, for people: artifacts, metrics over time, a registered version, the alias `live`.

Nothing in the line waits for it. It uses the client alone: no global run, no `log_model`.
"""

from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from penstock import failpoints
from penstock.adapters.mlflow.config import MlflowConfig
from penstock.adapters.mlflow.connection import Connection
from penstock.adapters.mlflow.drift import drift_metrics, drift_tags
from penstock.adapters.mlflow.live_alias import LiveAlias
from penstock.adapters.mlflow.metrics import loggable
from penstock.adapters.mlflow.recovery import newest_checkpoint
from penstock.adapters.mlflow.run import ModelRun, RunStatus
from penstock.adapters.mlflow.run_artifacts import RunArtifacts, model_path
from penstock.adapters.mlflow.version_figures import VersionFigures
from penstock.adapters.mlflow.version_tags import loss_tags, version_tags
from penstock.errors import FencedError, UnavailableError
from penstock.flow import DriftAlarm
from penstock.trainer.record_ports import Announced
from penstock.trainer.refusal import Refusal

if TYPE_CHECKING:
    from mlflow.entities import Run


class MlflowRecord:
    """Implements `trainer.record_ports.ModelRecord`; one run for the life of a model.

    Args:
        params: the configuration as it is shown with the run, by dotted name; without secrets.
        refuse_fenced: raises `FencedError` once another trainer has claimed the model.
    """

    def __init__(
        self,
        config: MlflowConfig,
        model: str,
        params: Mapping[str, str] | None = None,
        *,
        refuse_fenced: Callable[[], None] = lambda: None,
    ) -> None:
        self._connection = Connection(config)
        self._model = model
        self._run = ModelRun(self._connection, model, params or {})
        self._refuse_fenced = refuse_fenced
        self._live = LiveAlias(self._connection, model, refuse_fenced)
        self._is_registered = False
        self._registered: tuple[int, str] | None = None
        self._artifacts = RunArtifacts(self._connection)
        self._figures = VersionFigures(self._connection, model)
        self._drift_logged: dict[int, DriftAlarm] = {}

    def prepare(self) -> None:
        """Import MLflow's client, which takes seconds, ahead of the first record; failures wait for that one.

        Before threads use it: MLflow's modules do not bear being imported by two at once.
        """
        with suppress(UnavailableError), self._connection.failures_as_unavailable():
            self._connection.client()

    @property
    def run_id(self) -> str | None:
        """The run that is recorded to; None until the first record of a new model."""
        return self._run.run_id

    @run_id.setter
    def run_id(self, run_id: str | None) -> None:
        """Go on with this run, the one that the restored checkpoint names."""
        self._run.run_id = run_id

    @property
    def mlflow_version(self) -> str | None:
        """See `ModelRecord.mlflow_version`."""
        return None if self._registered is None else str(self._registered[1])

    def record(self, announced: Announced, metrics: Mapping[str, float]) -> str:
        """See `ModelRecord.record`. What the registry names is uploaded first, so it is always whole."""
        try:
            with self._connection.failures_as_unavailable():
                run = self._run.open()
                failpoints.reach("record.begun")
                self._artifacts.upload(_artifact_root(run), announced)
                failpoints.reach("record.uploaded")
                self._refuse_fenced()
                self._log_metrics(run, announced, metrics)
                self._figures.tell(run.info.run_id, announced, self._register(run, announced))
                self._artifacts.prune_checkpoints(_artifact_root(run))
        except UnavailableError:
            self._run.forget()
            self._is_registered = False
            raise
        return str(run.info.run_id)

    def note_refusal(self, refusal: Refusal) -> None:
        """See `ModelRecord.note_refusal`: metrics at the version as step, and the sentence as a tag of the run."""
        from mlflow.entities import Metric, RunTag

        verdict = refusal.verdict
        figures = {
            "difference": verdict.difference,
            "least_difference": verdict.least,
            "held_out_rows": float(verdict.rows),
        }
        metrics = [
            Metric(f"gate_refused/{name}", value, refusal.at_ms, refusal.version) for name, value in figures.items()
        ]
        tags = [RunTag("penstock.gate.last_refusal", refusal.sentence)]
        with self._connection.failures_as_unavailable():
            self._connection.client().log_batch(self._run.open().info.run_id, metrics=metrics, tags=tags)

    def keep_report(self, page: bytes) -> None:
        """See `ModelRecord.keep_report`: `report.html` among the run's artifacts."""
        with self._connection.failures_as_unavailable():
            self._artifacts.keep_report(_artifact_root(self._run.open()), page)

    def newest_checkpoint(self, into: Path) -> bool:
        """See `ModelRecord.newest_checkpoint`: the version that is live, else the highest that can be read."""
        return newest_checkpoint(self._connection, self._model, into)

    def close(self, status: RunStatus = "FINISHED") -> None:
        """End the run, if anything was recorded; the next trainer opens it again. Another's run goes on."""
        with suppress(UnavailableError):
            try:
                self._refuse_fenced()
            except FencedError:
                return
        self._run.close(status)

    def _log_metrics(self, run: "Run", announced: Announced, metrics: Mapping[str, float]) -> None:
        """Drift alarms stand at their own time and event; logged again once they are recovered from."""
        from mlflow.entities import Metric, RunTag

        update = announced.update
        news = [alarm for alarm in announced.drift if self._drift_logged.get(alarm.number) != alarm]
        batch = [
            Metric(name, float(value), update.announced_at_ms, update.version)
            for name, value in loggable(metrics).items()
        ]
        batch += [Metric(name, value, at_ms, step) for name, value, at_ms, step in drift_metrics(news)]
        tags = [RunTag(name, value) for name, value in drift_tags(news, announced.drift).items()]
        if batch:
            self._connection.client().log_batch(run.info.run_id, metrics=batch, tags=tags)
        self._drift_logged = {alarm.number: alarm for alarm in announced.drift}

    def _register(self, run: "Run", announced: Announced) -> int:
        """Returns the registry's number of the version."""
        client, update = self._connection.client(), announced.update
        if not self._is_registered:
            self._ensure_registered_model()
        if self._registered is None or self._registered[0] != update.version:
            version = client.create_model_version(
                self._model,
                source=f"runs:/{run.info.run_id}/{model_path(update)}",
                run_id=run.info.run_id,
                tags=version_tags(update) | loss_tags(announced.losses),
                await_creation_for=0,
            )
            self._registered = (update.version, version.version)
            failpoints.reach("record.registered")
        self._live.move_to(self._registered[1])
        return int(self._registered[1])

    def _ensure_registered_model(self) -> None:
        from mlflow.exceptions import MlflowException

        try:
            self._connection.client().create_registered_model(self._model)
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
        self._is_registered = True


def _artifact_root(run: "Run") -> str:
    return str(run.info.artifact_uri)
