"""Weights that an update names by URI, copied from where they may lie and from nowhere else, within bounds."""

import os
import stat
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from typing import Any, BinaryIO, cast

from penstock.adapters.mlflow.config import MlflowConfig
from penstock.adapters.mlflow.connection import Artifacts, Connection
from penstock.adapters.mlflow.downloads import Downloads, wrong_size
from penstock.adapters.mlflow.locations import default_prefix
from penstock.credentials import without_credentials
from penstock.errors import RefusedUpdateError, UnavailableError
from penstock.serving.location import Location

TIMEOUT_SECONDS = 60.0
CHUNK_BYTES = 1024 * 1024


class ArtifactFetcher:
    """Implements `serving.ports.WeightsFetcher`: into a file without a name, which no kill can leave behind.

    Args:
        allowed_prefixes: URIs under which weights may lie; none: the configured artifact store only.
        timeout_seconds: a fetch that takes longer is given up.

    Raises:
        ValueError: a prefix is no URI.
    """

    def __init__(
        self, config: MlflowConfig, allowed_prefixes: Sequence[str] = (), *, timeout_seconds: float = TIMEOUT_SECONDS
    ) -> None:
        self._connection = Connection(config)
        self._downloads = Downloads()
        self._timeout_seconds = timeout_seconds
        self._allowed = tuple(Location.parse(uri) for uri in allowed_prefixes or [default_prefix(config)])
        self._shown = without_credentials(", ".join(allowed_prefixes) or default_prefix(config))

    def fetch(self, uri: str, size_bytes: int) -> BinaryIO:
        """See `WeightsFetcher.fetch`."""
        location = self._checked(uri)
        deadline = time.monotonic() + self._timeout_seconds
        if location.scheme == "file":
            return self._copied(self._of_file(location, uri), uri, size_bytes, deadline)
        with self._connection.failures_as_unavailable():
            repository = self._connection.repository(uri.rpartition("/")[0])
            if _is_over_http(repository):
                return self._copied(_of_server(repository, uri), uri, size_bytes, deadline)
            return self._downloads.download(repository, uri, size_bytes, deadline)

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

    def _of_file(self, location: Location, uri: str) -> Iterator[bytes]:
        try:
            path = location.path.resolve(strict=True)
            roots = [prefix.path.resolve() for prefix in self._allowed if location.is_within(prefix)]
            if not any(root in path.parents for root in roots):
                raise self._outside(uri)
            with open(path, "rb", opener=_without_waiting) as file:
                if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                    raise RefusedUpdateError(
                        "uri", f"The weights' URI {without_credentials(uri)!r} names no regular file."
                    )
                while chunk := file.read(CHUNK_BYTES):
                    yield chunk
        except OSError as error:
            raise UnavailableError(
                f"The weights at {without_credentials(uri)} cannot be read: {error.strerror}."
            ) from None
        except RuntimeError:  # of Path.resolve before Python 3.13
            raise UnavailableError(
                f"The weights at {without_credentials(uri)} cannot be read: the links go in a circle."
            ) from None

    def _copied(self, chunks: Iterator[bytes], uri: str, size_bytes: int, deadline: float) -> BinaryIO:
        copy = cast(BinaryIO, tempfile.TemporaryFile())  # noqa: SIM115 - whoever is given it closes it
        total = 0
        try:
            for chunk in chunks:
                total += len(chunk)
                if total > size_bytes:
                    raise wrong_size(uri, size_bytes, f"more than {size_bytes}")
                copy.write(chunk)
                if time.monotonic() > deadline:
                    raise UnavailableError(
                        f"The weights at {without_credentials(uri)} were not there within {self._timeout_seconds:g} s."
                    )
            if total != size_bytes:
                raise wrong_size(uri, size_bytes, str(total))
        except BaseException:
            copy.close()
            raise
        copy.seek(0)
        return copy


def _of_server(repository: Artifacts, uri: str) -> Iterator[bytes]:
    """As it comes, however slowly: each wait is one of `mlflow.timeout_seconds` at most. Redirects are not followed."""
    from mlflow.utils import credentials, rest_utils

    rest: Any = rest_utils  # it declares no types
    host: Any = credentials.get_default_host_creds(repository.artifact_uri)  # type: ignore[no-untyped-call]  # nor that
    name = uri.rpartition("/")[2]
    with closing(rest.http_request(host, f"/{name}", "GET", stream=True, allow_redirects=False)) as response:
        if response.is_redirect:
            raise RefusedUpdateError(
                "uri", f"The store answers {without_credentials(uri)!r} with a redirect; it is not followed."
            )
        rest.augmented_raise_for_status(response)
        while chunk := response.raw.read1(CHUNK_BYTES, decode_content=True):
            yield chunk


def _is_over_http(repository: Artifacts) -> bool:
    from mlflow.store.artifact.http_artifact_repo import HttpArtifactRepository

    return isinstance(repository, HttpArtifactRepository)


def _without_waiting(path: str, flags: int) -> int:
    """A pipe in place of a file would wait for a writer."""
    return os.open(path, flags | os.O_NONBLOCK)
