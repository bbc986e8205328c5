"""Weights too large to travel inline: put where replicas can read them, and read by replicas from nowhere else."""

import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

from penstock.adapters.mlflow.config import MlflowConfig
from penstock.adapters.mlflow.connection import Connection
from penstock.adapters.mlflow.locations import Location, artifact_folder, default_prefix, without_credentials
from penstock.adapters.mlflow.shelf import FolderShelf, ServerShelf, Shelf
from penstock.errors import ConfigurationError, RefusedUpdateError, UnavailableError
from penstock.flow import ModelUpdate, Weights

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


class ArtifactFetcher:
    """Implements `serving.ports.WeightsFetcher`.

    Args:
        allowed_prefixes: URIs under which weights may lie; none: the configured artifact store only.

    Raises:
        ConfigurationError: a prefix is no URI.
    """

    def __init__(self, config: MlflowConfig, allowed_prefixes: Sequence[str] = ()) -> None:
        self._connection = Connection(config)
        self._allowed = tuple(_prefix(uri) for uri in allowed_prefixes or [default_prefix(config)])
        self._shown = without_credentials(", ".join(allowed_prefixes) or default_prefix(config))

    def fetch(self, update: ModelUpdate) -> bytes:
        """See `WeightsFetcher.fetch`."""
        assert update.uri is not None  # an update without one carries its weights inline
        location = self._checked(update.uri)
        if location.scheme == "file":
            return self._read_file(location, update)
        with self._connection.failures_as_unavailable():
            return self._download(update.uri, update)

    def _checked(self, uri: str) -> Location:
        try:
            location = Location.parse(uri)
        except ValueError as error:
            raise RefusedUpdateError(
                "uri", f"The weights' URI {without_credentials(uri)!r} is refused: {error}."
            ) from None
        if not any(location.is_within(prefix) for prefix in self._allowed):
            raise self._outside(uri)
        return location

    def _outside(self, uri: str) -> RefusedUpdateError:
        return RefusedUpdateError(
            "uri",
            f"The weights' URI {without_credentials(uri)!r} is outside what serving.allowed_weights_prefixes allows: "
            f"{self._shown}.",
        )

    def _read_file(self, location: Location, update: ModelUpdate) -> bytes:
        try:
            path = location.path.resolve(strict=True)
            roots = [prefix.path.resolve() for prefix in self._allowed if location.is_within(prefix)]
            if not any(root in path.parents for root in roots):
                raise self._outside(str(update.uri))
            with path.open("rb") as file:
                _refuse_larger(os.fstat(file.fileno()).st_size, update)
                return file.read(update.size_bytes)
        except OSError as error:
            raise UnavailableError(f"The weights at {update.uri} cannot be read: {error.strerror}.") from None

    def _download(self, uri: str, update: ModelUpdate) -> bytes:
        folder, _, name = uri.rpartition("/")
        repository = self._connection.repository(folder)
        sizes = {file.path: file.file_size for file in repository.list_artifacts()}
        if name not in sizes:
            raise UnavailableError(f"The weights at {uri} are not in the artifact store.")
        _refuse_larger(sizes[name] or 0, update)
        with tempfile.TemporaryDirectory(prefix="penstock-weights-") as scratch:
            path = Path(repository.download_artifacts(name, scratch))
            _refuse_larger(path.stat().st_size, update)
            return path.read_bytes()


def _prefix(uri: str) -> Location:
    try:
        return Location.parse(uri)
    except ValueError as error:
        raise ConfigurationError(
            f"serving.allowed_weights_prefixes holds {without_credentials(uri)!r}: {error}."
        ) from None


def _refuse_larger(size_bytes: int, update: ModelUpdate) -> None:
    if size_bytes > update.size_bytes:
        raise RefusedUpdateError(
            "size", f"The weights at {update.uri} have {size_bytes} bytes, but {update.size_bytes} were announced."
        )


def _number(name: str) -> int:
    number = name.partition("-")[0]
    return int(number) if number.isdecimal() else 0
