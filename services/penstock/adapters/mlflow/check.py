"""Is MLflow there, may we write to it, and which version is it: for `penstock doctor`."""

import tempfile
from pathlib import Path

from penstock.adapters.mlflow.config import MlflowConfig
from penstock.adapters.mlflow.connection import Connection
from penstock.adapters.mlflow.locations import database_file
from penstock.errors import UnavailableError

PROBE = "penstock-doctor.txt"


def check(config: MlflowConfig) -> tuple[bool, str]:
    """Reach MLflow, create the experiment if it is missing, write and remove one small artifact.

    Returns whether all is well, and a sentence that says so or what is wrong.
    """
    connection = Connection(config)
    try:
        with connection.failures_as_unavailable():
            version = _version(connection)
            location = str(connection.experiment().artifact_location)
            _write_probe(connection, location)
    except UnavailableError as error:
        return False, str(error)
    return True, f"{version} at {config.shown_uri} can be written; artifacts go to {location}."


def _version(connection: Connection) -> str:
    connection.client()
    if database_file(connection.config) is not None:
        import mlflow

        return f"MLflow {mlflow.__version__}, embedded"
    from mlflow.utils.credentials import get_default_host_creds
    from mlflow.utils.rest_utils import http_request

    # MLflow declares no types for these two.
    credentials = get_default_host_creds(connection.config.tracking_uri)  # type: ignore[no-untyped-call]
    response = http_request(credentials, "/version", "GET")  # type: ignore[no-untyped-call]
    response.raise_for_status()
    return f"MLflow server {response.text.strip()}"


def _write_probe(connection: Connection, location: str) -> None:
    repository = connection.repository(location)
    with tempfile.TemporaryDirectory(prefix="penstock-doctor-") as scratch:
        probe = Path(scratch, PROBE)
        probe.write_text("written by penstock doctor\n", encoding="utf-8")
        repository.log_artifact(str(probe))
    try:
        repository.delete_artifacts(PROBE)
    except NotImplementedError:
        return
