"""The one MLflow run of a model: created once, resumed by every trainer that goes on with the model."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal

import structlog

from penstock.adapters.mlflow.connection import Connection, is_missing
from penstock.errors import UnavailableError

if TYPE_CHECKING:
    from mlflow.entities import Run

LIVE = "live"
"""The alias of the registered version that was announced last."""
RunStatus = Literal["FINISHED", "KILLED", "FAILED"]

log = structlog.get_logger(__name__)


class ModelRun:
    """Opened at its first use. `run_id` may be set before, to the run that a checkpoint names."""

    def __init__(self, connection: Connection, model: str, params: Mapping[str, str]) -> None:
        self._connection = connection
        self._model = model
        self._params = params
        self._run: Run | None = None
        self.run_id: str | None = None

    def open(self) -> "Run":
        """The run, status RUNNING. Raises whatever MLflow raises."""
        if self._run is None:
            run = self._known() or self._create()
            self._log_params(run)
            self._run, self.run_id = run, run.info.run_id
        return self._run

    def forget(self) -> None:
        """After a failure: find the run again at its next use, or start another if it is gone."""
        self._run = None
        self._connection.forget()

    def close(self, status: RunStatus) -> None:
        """End it, if it was opened; a failure is logged."""
        if self._run is None:
            return
        run_id, self._run = self._run.info.run_id, None
        try:
            with self._connection.failures_as_unavailable():
                self._connection.client().set_terminated(run_id, status=status)
        except UnavailableError as error:
            log.warning("MLflow run not ended", run_id=run_id, reason=str(error))

    def _known(self) -> "Run | None":
        """The run of the checkpoint or, if that names none, of the version that is live."""
        from mlflow.exceptions import MlflowException

        client = self._connection.client()
        try:
            run_id = self.run_id or client.get_model_version_by_alias(self._model, LIVE).run_id
            run = client.get_run(run_id) if run_id else None
        except MlflowException as error:
            if not is_missing(error):
                raise
            run = None
        if run is None or run.info.lifecycle_stage != "active":
            if self.run_id:
                log.warning("MLflow no longer has the run of the checkpoint, starting a new one", run_id=self.run_id)
            return None
        client.update_run(run.info.run_id, status="RUNNING")
        log.info("MLflow run resumed", run_id=run.info.run_id)
        return run

    def _create(self) -> "Run":
        run = self._connection.client().create_run(
            self._connection.experiment().experiment_id,
            run_name=self._model,
            tags={"penstock.model": self._model},
        )
        log.info("MLflow run started", run_id=run.info.run_id, experiment=self._connection.config.experiment)
        return run

    def _log_params(self, run: "Run") -> None:
        """A run's params never change; a value changed since its first start becomes a tag."""
        from mlflow.entities import Param, RunTag

        first = run.data.params
        params = [Param(name, value) for name, value in self._params.items() if name not in first]
        tags = [
            RunTag(f"changed.{name}", value) for name, value in self._params.items() if first.get(name, value) != value
        ]
        if params or tags:
            self._connection.client().log_batch(run.info.run_id, params=params[:100], tags=tags[:100])
