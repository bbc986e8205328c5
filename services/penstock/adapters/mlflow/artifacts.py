"""Weights too large to travel inline: put where replicas can read them."""

from penstock.adapters.mlflow.config import MlflowConfig
from penstock.adapters.mlflow.connection import Connection
from penstock.adapters.mlflow.locations import artifact_folder
from penstock.adapters.mlflow.shelf import FolderShelf, ServerShelf, Shelf
from penstock.errors import ConfigurationError
from penstock.flow import Weights

KEPT = 5
"""Uploads kept: replicas may still read the ones before the newest."""
SUFFIX = ".safetensors"


class ArtifactStore:
    """Implements `trainer.ports.WeightsStore`: `weights/<model>/<number>-<sha256>.safetensors` in the artifact store.

    The embedded default's folder is written directly and needs no MLflow.
    """

    def __init__(self, config: MlflowConfig, model: str, *, kept: int = KEPT) -> None:
        self._connection = Connection(config)
        self._kept = kept
        folder = artifact_folder(config)
        place = f"weights/{model}"
        self._shelf: Shelf = ServerShelf(self._connection, place) if folder is None else FolderShelf(folder / place)

    def put(self, weights: Weights) -> str:
        """See `WeightsStore.put`; putting the newest upload again uploads nothing. Old uploads are removed.

        Raises:
            UnavailableError: the store does not answer.
            ConfigurationError: there is no store.
        """
        if not self._connection.config.enabled:
            raise ConfigurationError(
                f"The weights have {weights.size_bytes} bytes, more than publish.inline_max_bytes, and mlflow.enabled "
                "is false, so there is nowhere to put them; raise the one or switch on the other."
            )
        with self._connection.failures_as_unavailable():
            names = sorted(name for name in self._shelf.names() if name.endswith(SUFFIX))
            if names and names[-1].endswith(f"-{weights.sha256}{SUFFIX}"):
                return self._shelf.uri(names[-1])
            number = 1 + max((_number(name) for name in names), default=0)
            name = f"{number:012d}-{weights.sha256}{SUFFIX}"
            self._shelf.write(name, weights.content)
            for old in names[: -(self._kept - 1) or None]:
                self._shelf.remove(old)
            return self._shelf.uri(name)


def _number(name: str) -> int:
    number = name.partition("-")[0]
    return int(number) if number.isdecimal() else 0
