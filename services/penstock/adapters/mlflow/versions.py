"""The weights of a registered model version, ours or of anyone who keeps safetensors in one."""

from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from penstock.adapters.mlflow.config import MlflowConfig
from penstock.adapters.mlflow.connection import Artifacts, Connection, is_missing
from penstock.adapters.mlflow.scratch import scratch_folder
from penstock.errors import ConfigurationError

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion

SUFFIX = ".safetensors"
SCHEME = "models:/"
MOST_FOLDERS = 100
"""Looked into before giving up."""


def read_version(config: MlflowConfig, uri: str) -> bytes:
    """The one safetensors file of `models:/name/version` or `models:/name@alias`. Nothing of it is ever run.

    Raises:
        UnavailableError: MLflow does not answer.
        ConfigurationError: there is no such version, or it holds no such file or several.
    """
    connection = Connection(config)
    with connection.failures_as_unavailable():
        try:
            return download_weights(connection, _find(connection, uri))
        except MissingWeightsError as error:
            raise ConfigurationError(
                f"model.warm_start.uri is {uri!r}, which holds {error}; one is needed (pickled models are not read)."
            ) from None


class MissingWeightsError(Exception):
    """Not one safetensors file, but what the text names."""


def download_weights(connection: Connection, version: "ModelVersion") -> bytes:
    """The one safetensors file of a registered version.

    Raises:
        MissingWeightsError: it holds none, or several.
    """
    source = connection.client().get_model_version_download_uri(version.name, version.version)
    repository = connection.repository(source)
    files = _weights_files(repository)
    if len(files) != 1:
        raise MissingWeightsError(", ".join(files) or "no safetensors file")
    with scratch_folder() as folder:
        path = Path(repository.download_artifacts(files[0], str(folder))).resolve(strict=True)
        return path.read_bytes()


def _find(connection: Connection, uri: str) -> "ModelVersion":
    from mlflow.exceptions import MlflowException

    name, at, alias = uri.removeprefix(SCHEME).partition("@")
    try:
        if at:
            return connection.client().get_model_version_by_alias(name, alias)
        name, _, number = name.partition("/")
        return connection.client().get_model_version(name, number)
    except MlflowException as error:
        if not is_missing(error):
            raise
        raise ConfigurationError(
            f"model.warm_start.uri is {uri!r}, but MLflow at {connection.config.shown_uri} has no such version."
        ) from None


def _weights_files(repository: Artifacts) -> list[str]:
    """Paths below the version's folder, however deep; those that would step out of it are none."""
    found: list[str] = []
    folders: list[str | None] = [None]
    for _ in range(MOST_FOLDERS):
        if not folders:
            break
        for entry in repository.list_artifacts(folders.pop()):
            path = PurePosixPath(entry.path)
            if path.is_absolute() or ".." in path.parts or "\\" in entry.path:
                continue
            if entry.is_dir:
                folders.append(entry.path)
            elif path.suffix == SUFFIX:
                found.append(entry.path)
    return sorted(found)
