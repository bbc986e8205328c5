"""Where artifacts lie: the folder of the embedded default, or the server's. Knows no MLflow."""

from pathlib import Path

from penstock.adapters.mlflow.config import MlflowConfig

ARTIFACT_FOLDER = "mlflow-artifacts"
SERVER_ARTIFACTS = "mlflow-artifacts:/"
_SQLITE = "sqlite:///"


def database_file(config: MlflowConfig) -> Path | None:
    """The SQLite file of the embedded default, absolute; None with a server."""
    if not config.tracking_uri.startswith(_SQLITE):
        return None
    return Path(config.tracking_uri.removeprefix(_SQLITE).partition("?")[0]).absolute()


def artifact_folder(config: MlflowConfig) -> Path | None:
    """The folder of artifacts beside the SQLite file; None with a server, which decides itself."""
    database = database_file(config)
    return None if database is None else database.parent / ARTIFACT_FOLDER


def default_prefix(config: MlflowConfig) -> str:
    """The URI under which all artifacts of the configured store lie."""
    folder = artifact_folder(config)
    return SERVER_ARTIFACTS if folder is None else folder.as_uri()
