"""The alias `live`: moved by the one writer of a model alone, although the registry knows no writers."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import structlog

from penstock import failpoints
from penstock.adapters.mlflow.connection import Connection
from penstock.adapters.mlflow.recovery import VERSION_TAG, version_number
from penstock.adapters.mlflow.run import LIVE
from penstock.errors import FencedError

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion

EPOCH_TAG = "penstock.epoch"

log = structlog.get_logger(__name__)


class LiveAlias:
    """Args: `refuse_fenced` raises `FencedError` once another trainer has claimed the model."""

    def __init__(self, connection: Connection, model: str, refuse_fenced: Callable[[], None]) -> None:
        self._connection = connection
        self._model = model
        self._refuse_fenced = refuse_fenced

    def move_to(self, number: str) -> None:
        """Name this version of the registry. Raises whatever MLflow raises.

        Whoever is stopped between the look for a claim and the move moves it all the same; so it looks again, and gives
        the alias back.

        Raises:
            FencedError: another trainer has claimed since; the alias is where that one left it.
        """
        self._refuse_fenced()
        failpoints.reach("record.not_fenced")
        client = self._connection.client()
        client.set_registered_model_alias(self._model, LIVE, number)
        failpoints.reach("record.aliased")
        try:
            self._refuse_fenced()
        except FencedError:
            self._give_back()
            raise

    def _give_back(self) -> None:
        client = self._connection.client()
        newest = max(client.search_model_versions(f"name='{self._model}'"), key=_place)
        client.set_registered_model_alias(self._model, LIVE, newest.version)
        log.warning("alias given back to the trainer that has taken over", version=version_number(newest))


def _place(version: "ModelVersion") -> tuple[int, int]:
    """Epoch and version; a registered version of someone else's counts as the oldest."""
    tag = version.tags.get(EPOCH_TAG, "")
    return int(tag) if tag.isdecimal() and VERSION_TAG in version.tags else 0, version_number(version)
