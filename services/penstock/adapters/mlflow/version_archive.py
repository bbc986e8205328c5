"""Versions that were recorded, for replicas that are asked for an old one."""

import json

from penstock.adapters.mlflow.config import MlflowConfig
from penstock.adapters.mlflow.connection import Connection
from penstock.adapters.mlflow.recovery import VERSION_TAG
from penstock.adapters.mlflow.versions import MissingWeightsError, download_weights
from penstock.clock import from_rfc3339
from penstock.errors import RefusedUpdateError
from penstock.flow import ModelUpdate, Offsets
from penstock.learning.weights import read_card
from penstock.serving.ports import ArchivedVersion


class MlflowVersionArchive:
    """Implements `serving.ports.VersionArchive` by the registered versions that carry Penstock's tags."""

    def __init__(self, config: MlflowConfig, model: str) -> None:
        self._connection = Connection(config)
        self._model = model

    def read(self, version: int) -> ArchivedVersion | None:
        """See `VersionArchive.read`; of several with one number, that registered last."""
        with self._connection.failures_as_unavailable():
            found = self._connection.client().search_model_versions(
                f"name='{self._model}' and tags.`{VERSION_TAG}` = '{version}'",
                max_results=1,
                order_by=["version_number DESC"],
            )
            if not found:
                return None
            (registered,) = found
            try:
                content = download_weights(self._connection, registered)
            except MissingWeightsError as error:
                raise RefusedUpdateError("missing", f"MLflow's version {registered.version} holds {error}.") from None
        tags = registered.tags
        return ArchivedVersion(
            update=ModelUpdate(
                model=self._model,
                version=version,
                epoch=int(tags["penstock.epoch"]),
                sha256=tags["penstock.sha256"],
                size_bytes=len(content),
                class_ledger_digest=read_card(content).ledger.digest,
                trained_until_ms=from_rfc3339(tags["penstock.trained_until"]),
                announced_at_ms=int(registered.creation_timestamp),
                offsets=Offsets.from_json(json.loads(tags["penstock.offsets"])),
                metrics={},
                mlflow_run_id=registered.run_id,
                inline=content,
            ),
            mlflow_version=str(registered.version),
        )
