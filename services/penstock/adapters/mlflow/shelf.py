"""A folder of uploads: on this machine, or behind an MLflow server."""

import os
import tempfile
from pathlib import Path
from typing import Protocol

from penstock.adapters.mlflow.connection import Connection


class Shelf(Protocol):
    """Files by name. Each method raises whatever its store raises."""

    def names(self) -> list[str]:
        """Of all files."""
        ...

    def write(self, name: str, content: bytes) -> None:
        """Add a file; it appears whole."""
        ...

    def remove(self, name: str) -> None:
        """Remove a file; one that the store cannot remove stays."""
        ...

    def uri(self, name: str) -> str:
        """Absolute: means the same to every reader of the same store."""
        ...


class FolderShelf:
    """A local folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def names(self) -> list[str]:
        return [path.name for path in self._folder.iterdir()] if self._folder.exists() else []

    def write(self, name: str, content: bytes) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        unfinished = self._folder / f".{name}.{os.getpid()}"
        try:
            with unfinished.open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            unfinished.rename(self._folder / name)
        except BaseException:
            unfinished.unlink(missing_ok=True)
            raise

    def remove(self, name: str) -> None:
        (self._folder / name).unlink(missing_ok=True)

    def uri(self, name: str) -> str:
        return (self._folder / name).as_uri()


class ServerShelf:
    """A folder in the artifact store of the configured experiment."""

    def __init__(self, connection: Connection, place: str) -> None:
        self._connection = connection
        self._place = place

    @property
    def _root(self) -> str:
        return f"{str(self._connection.experiment().artifact_location).rstrip('/')}/{self._place}"

    def names(self) -> list[str]:
        return [str(file.path) for file in self._connection.repository(self._root).list_artifacts()]

    def write(self, name: str, content: bytes) -> None:
        with tempfile.TemporaryDirectory(prefix="penstock-upload-") as scratch:
            file = Path(scratch, name)
            file.write_bytes(content)
            self._connection.repository(self._root).log_artifact(str(file))

    def remove(self, name: str) -> None:
        try:
            self._connection.repository(self._root).delete_artifacts(name)
        except NotImplementedError:
            return

    def uri(self, name: str) -> str:
        return f"{self._root}/{name}"
