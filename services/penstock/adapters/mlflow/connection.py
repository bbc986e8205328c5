"""The one way to MLflow: a client made at its first use, with failures as `UnavailableError`.

Importing MLflow takes seconds and a replica rarely needs it, so it is imported inside functions.
"""

import logging
import os
import re
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Protocol, cast

from penstock.adapters.mlflow.config import MlflowConfig
from penstock.adapters.mlflow.locations import artifact_folder, database_file
from penstock.credentials import without_credentials
from penstock.errors import UnavailableError

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Experiment, FileInfo

HTTP_RETRIES = 1
REASON_LENGTH = 240
WAL_ATTEMPTS = 20
WAL_RETRY_SECONDS = 0.05

_environment_lock = threading.Lock()
_import_lock = threading.Lock()
"""MLflow's modules do not bear being imported by two threads at once."""


class Artifacts(Protocol):
    """What we use of MLflow's `ArtifactRepository`, which declares no types. Paths are relative to its root."""

    artifact_uri: str
    """The root; of a store behind an MLflow server its address there."""

    def log_artifact(self, local_file: str, artifact_path: str | None = None) -> None:
        """Upload a file into the folder `artifact_path`."""
        ...

    def list_artifacts(self, path: str | None = None) -> "list[FileInfo]":
        """What lies in a folder; nothing if there is no such folder."""
        ...

    def download_artifacts(self, artifact_path: str, dst_path: str) -> str:
        """Download into a local folder; returns the local path."""
        ...

    def delete_artifacts(self, artifact_path: str) -> None:
        """Remove a file. Raises `NotImplementedError` where the store cannot."""
        ...


class Connection:
    """What the configuration names, reached when it is first needed. Safe to use from several threads."""

    def __init__(self, config: MlflowConfig) -> None:
        self.config = config
        self._lock = threading.RLock()
        self._client: MlflowClient | None = None
        self._experiment: Experiment | None = None
        self._repositories: dict[str, Artifacts] = {}

    @contextmanager
    def failures_as_unavailable(self) -> Iterator[None]:
        """Turn whatever MLflow, its database or the network raises inside into one `UnavailableError`."""
        try:
            yield
        except Exception as error:
            if not _is_of_the_outside(error):
                raise
            raise UnavailableError(
                f"MLflow at {self.config.shown_uri} failed: {_reason(error, self.config.timeout_seconds)}"
            ) from None

    def client(self) -> "MlflowClient":
        """MLflow's client, with the embedded default's database created."""
        with self._lock:
            if self._client is None:
                _set_environment(self.config)
                with _import_lock:
                    from mlflow import MlflowClient

                _silence()
                _prepare_database(self.config)
                self._client = MlflowClient(
                    tracking_uri=self.config.tracking_uri, registry_uri=self.config.tracking_uri
                )
            return self._client

    def experiment(self) -> "Experiment":
        """The configured experiment, created if it is missing."""
        with self._lock:
            if self._experiment is None:
                self._experiment = self._find_experiment() or self._create_experiment()
            return self._experiment

    def forget(self) -> None:
        """After a failure: ask for the experiment again, as the server may have been set up anew."""
        with self._lock:
            self._experiment = None

    def repository(self, uri: str) -> Artifacts:
        """Read and write access to the artifacts under a URI."""
        with self._lock:
            self.client()
            if uri not in self._repositories:
                with _import_lock:
                    from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

                repository = get_artifact_repository(uri, tracking_uri=self.config.tracking_uri)
                self._repositories[uri] = cast(Artifacts, repository)
            return self._repositories[uri]

    def _find_experiment(self) -> "Experiment | None":
        return self.client().get_experiment_by_name(self.config.experiment)

    def _create_experiment(self) -> "Experiment":
        from mlflow.exceptions import MlflowException

        folder = artifact_folder(self.config)
        try:
            experiment_id = self.client().create_experiment(
                self.config.experiment, artifact_location=None if folder is None else folder.as_uri()
            )
        except MlflowException:
            if (experiment := self._find_experiment()) is not None:
                return experiment  # another process was faster
            raise
        return self.client().get_experiment(experiment_id)


def is_missing(error: Exception) -> bool:
    """True if MLflow answered that there is no such run, model or alias (an alias: `INVALID_PARAMETER_VALUE`)."""
    return getattr(error, "error_code", None) in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE")


def _set_environment(config: MlflowConfig) -> None:
    """MLflow takes these from the environment of its own process and from nowhere else."""
    with _environment_lock:
        os.environ["MLFLOW_HTTP_REQUEST_TIMEOUT"] = str(config.timeout_seconds)
        os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] = str(HTTP_RETRIES)
        os.environ["MLFLOW_HTTP_REQUEST_BACKOFF_JITTER"] = "0"
        os.environ["MLFLOW_ALLOW_HTTP_REDIRECTS"] = "false"  # an artifact store must not send us elsewhere
        os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
        os.environ["MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR"] = "false"
        os.environ["MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT"] = "true"
        os.environ["GIT_PYTHON_REFRESH"] = "quiet"


def _silence() -> None:
    """What matters is raised; the rest would stand between the lines of our own log."""
    for name in ("mlflow", "alembic", "urllib3.connectionpool"):
        logging.getLogger(name).setLevel(logging.ERROR)


def _prepare_database(config: MlflowConfig) -> None:
    """Create the database in WAL mode, so that the MLflow UI reads while we write; the mode stays with the file."""
    database = database_file(config)
    if database is None:
        return
    database.parent.mkdir(parents=True, exist_ok=True)
    with closing(sqlite3.connect(database, timeout=config.timeout_seconds)) as connection:
        for last in (*[False] * (WAL_ATTEMPTS - 1), True):
            try:
                connection.execute("PRAGMA journal_mode=WAL")
            except sqlite3.OperationalError:
                if last:
                    raise
                time.sleep(WAL_RETRY_SECONDS)  # SQLite does not wait by itself while another process switches the mode
            else:
                return


def _is_of_the_outside(error: Exception) -> bool:
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError
    from urllib3.exceptions import HTTPError  # of an answer that breaks off or stalls; it is no OSError

    return isinstance(error, MlflowException | SQLAlchemyError | sqlite3.Error | HTTPError | OSError)


def _reason(error: Exception, timeout_seconds: int) -> str:
    """The gist in one line, without user names and passwords of addresses."""
    line = " ".join(str(error).split()) or type(error).__name__
    if "timed out" in line.lower():
        return f"no answer within {timeout_seconds} s."
    if unreached := re.search(r"\[Errno -?\d+\] ([\w \-]+)", line):
        return f"it cannot be reached: {unreached.group(1).lower()}."
    line = without_credentials(line)
    return line if len(line) <= REASON_LENGTH else line[:REASON_LENGTH] + "…"
