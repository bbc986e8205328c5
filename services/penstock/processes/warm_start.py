"""Weights that a trainer without a checkpoint begins with: where they lie, and what of them it could use."""

from pathlib import Path
from urllib.parse import unquote, urlsplit

import structlog

from penstock.adapters.mlflow.versions import SCHEME, read_version
from penstock.errors import ConfigurationError
from penstock.learning.learner import Learner
from penstock.learning.warm_start import shown
from penstock.settings import Settings

log = structlog.get_logger(__name__)


def read_weights(settings: Settings) -> bytes:
    """The bytes of the safetensors file that `model.warm_start.uri` names.

    Raises:
        ConfigurationError: there is no such file or version.
        UnavailableError: MLflow does not answer.
    """
    uri = settings.model.warm_start.uri
    return read_version(settings.mlflow, uri) if uri.startswith(SCHEME) else _read_file(uri)


def start_from(learner: Learner, content: bytes, uri: str) -> None:
    """Give the learner these weights, and say in one line what they were good for.

    Raises:
        ConfigurationError: they are not of this model.
    """
    mapped = learner.start_from(content, uri)
    log.info(
        "warm start",
        uri=uri,
        taken=len(mapped.taken),
        not_mapped=shown(mapped.left),
        left_as_initialised=shown(mapped.initial),
        classes=len(mapped.classes),
        same_features=mapped.knows_inputs,
    )


def _read_file(uri: str) -> bytes:
    path = _path(uri)
    try:
        if not path.is_file():
            raise ConfigurationError(f"model.warm_start.uri is {uri!r}, but {path} is not a file.")
        return path.read_bytes()
    except OSError as error:
        raise ConfigurationError(
            f"model.warm_start.uri is {uri!r}, but {path} cannot be read: {error.strerror}."
        ) from None


def _path(uri: str) -> Path:
    split = urlsplit(uri)
    if split.scheme != "file":
        return Path(uri)
    if split.netloc not in ("", "localhost") or not split.path.startswith("/"):
        raise ConfigurationError(f"model.warm_start.uri is {uri!r}; a file: URI reads file:///path of this machine.")
    return Path(unquote(split.path))
