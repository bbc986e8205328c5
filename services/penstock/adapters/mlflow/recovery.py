"""The newest checkpoint that MLflow has of a model, for a machine that has none."""

import tarfile
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import structlog

from penstock.adapters.mlflow.archive import unpack
from penstock.adapters.mlflow.connection import Connection, is_missing
from penstock.adapters.mlflow.run import LIVE
from penstock.errors import UnavailableError

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion

CHECKPOINTS_KEPT = 3
VERSION_TAG, CHECKPOINT_TAG = "penstock.version", "penstock.checkpoint"

log = structlog.get_logger(__name__)


def newest_checkpoint(connection: Connection, model: str, into: Path) -> bool:
    """Unpack the version that is live, else the highest that can be read. False if there is none.

    Raises:
        UnavailableError: MLflow does not answer, or no checkpoint of several is whole.
    """
    with connection.failures_as_unavailable():
        candidates = _recorded(connection, model)
    failure: UnavailableError | None = None
    for version in candidates:
        try:
            with connection.failures_as_unavailable():
                _download(connection, version, into)
        except UnavailableError as error:
            log.warning("recorded checkpoint cannot be read", version=version_number(version), reason=str(error))
            failure = failure or error
        else:
            log.info("checkpoint fetched from MLflow", version=version_number(version), run_id=version.run_id)
            return True
    if failure is not None:
        raise failure
    return False


def version_number(version: "ModelVersion") -> int:
    """Penstock's version, from the tag; a registered version of someone else's counts as the oldest."""
    tag = version.tags.get(VERSION_TAG, "")
    return int(tag) if tag.isdecimal() else 0


def _recorded(connection: Connection, model: str) -> list["ModelVersion"]:
    """Registered versions with a checkpoint: the live one first, then from the highest down."""
    found = connection.client().search_model_versions(
        f"name='{model}'", max_results=CHECKPOINTS_KEPT, order_by=["version_number DESC"]
    )
    live = _live(connection, model)
    versions = {version.version: version for version in (*found, *live)}
    first = [version.version for version in live]
    ordered = sorted(versions.values(), key=lambda each: (each.version in first, version_number(each)), reverse=True)
    return [version for version in ordered if CHECKPOINT_TAG in version.tags]


def _live(connection: Connection, model: str) -> list["ModelVersion"]:
    from mlflow.exceptions import MlflowException

    try:
        return [connection.client().get_model_version_by_alias(model, LIVE)]
    except MlflowException as error:
        if is_missing(error):
            return []
        raise


def _download(connection: Connection, version: "ModelVersion", into: Path) -> None:
    run = connection.client().get_run(str(version.run_id))
    repository = connection.repository(str(run.info.artifact_uri))
    with tempfile.TemporaryDirectory(prefix="penstock-recovery-") as scratch:
        archive = repository.download_artifacts(version.tags[CHECKPOINT_TAG], scratch)
        try:
            unpack(Path(archive), into)
        except (ValueError, tarfile.TarError) as error:
            raise UnavailableError(
                f"The checkpoint of version {version_number(version)} is not whole: {error}"
            ) from None
