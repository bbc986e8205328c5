"""Where artifacts lie: the folder of the embedded default, and which URIs a replica may read. Knows no MLflow."""

from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

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


@dataclass(frozen=True, kw_only=True)
class Location:
    """An artifact URI in parts, normalised: two spellings of one place are equal."""

    scheme: str
    host: str
    parts: tuple[str, ...]

    @classmethod
    def parse(cls, uri: str) -> "Location":
        """Take a URI apart.

        Raises:
            ValueError: it has no scheme, steps upwards, or hides a character that some store would read as a step.
        """
        split = urlsplit(uri)
        path = unquote(split.path, errors="strict")
        parts = tuple(part for part in path.split("/") if part)
        if not split.scheme or split.query or split.fragment or not path.startswith("/"):
            raise ValueError("it is not of the form scheme:/path or scheme://host/path")
        if any(part in (".", "..") for part in parts) or any(sign in path for sign in "%\\") or not path.isprintable():
            raise ValueError("its path holds '.', '..', '%', '\\' or a control character")
        host = "" if split.scheme == "file" and split.netloc == "localhost" else split.netloc
        return cls(scheme=split.scheme, host=host, parts=parts)

    def is_within(self, prefix: "Location") -> bool:
        """True if it lies below the prefix: same scheme, same host, whole path segments."""
        below = self.parts[: len(prefix.parts)] == prefix.parts and len(self.parts) > len(prefix.parts)
        return below and (self.scheme, self.host) == (prefix.scheme, prefix.host)

    @property
    def path(self) -> Path:
        """As a file of this machine."""
        return Path("/", *self.parts)
