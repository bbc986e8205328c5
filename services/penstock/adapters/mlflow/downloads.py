"""Downloads from stores that MLflow's own client reads (S3 and its like): in a thread that is given up in time."""

import time
from pathlib import Path
from threading import Lock, Thread
from typing import BinaryIO

from penstock.adapters.mlflow.connection import Artifacts
from penstock.adapters.mlflow.scratch import scratch_folder
from penstock.credentials import without_credentials
from penstock.errors import RefusedUpdateError, UnavailableError

LOOK_SECONDS = 0.05
"""How often the size of what has come is looked at."""


class Downloads:
    """One at a time: while one that was given up has not ended there is no other."""

    def __init__(self) -> None:
        self._given_up: _Download | None = None

    def download(self, repository: Artifacts, uri: str, size_bytes: int, deadline: float) -> BinaryIO:
        """The file at `uri`, open and unlinked; `deadline` is monotonic.

        Raises:
            RefusedUpdateError: `size`.
            UnavailableError: it was not there in time.
            Exception: whatever the client of the store raises.
        """
        if self._given_up is not None and self._given_up.thread.is_alive():
            raise UnavailableError(
                f"The weights at {without_credentials(uri)} must wait: the download before has not ended yet."
            )
        self._given_up = None
        download = _Download(repository, uri.rpartition("/")[2])
        while download.thread.is_alive():
            download.thread.join(LOOK_SECONDS)
            if download.size_bytes() > size_bytes:
                self._give_up(download)
                raise wrong_size(uri, size_bytes, f"more than {size_bytes}")
            if time.monotonic() > deadline and download.thread.is_alive():
                self._give_up(download)
                raise UnavailableError(f"The weights at {without_credentials(uri)} were not there in time.")
        found = download.result()
        total = found.seek(0, 2)
        found.seek(0)
        if total != size_bytes:
            found.close()
            raise wrong_size(uri, size_bytes, str(total))
        return found

    def _give_up(self, download: "_Download") -> None:
        download.give_up()
        self._given_up = download


class _Download:
    """Goes on in its thread, whoever waits for it, and removes its folder when it ends."""

    def __init__(self, repository: Artifacts, name: str) -> None:
        self._repository, self._name = repository, name
        self._folder: Path | None = None
        self._file: BinaryIO | None = None
        self._error: Exception | None = None
        self._is_wanted, self._handing_over = True, Lock()
        self.thread = Thread(target=self._run, name="download", daemon=True)
        self.thread.start()

    def size_bytes(self) -> int:
        """What has come so far."""
        folder = self._folder
        try:
            return 0 if folder is None else sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
        except OSError:  # it is just being removed
            return 0

    def result(self) -> BinaryIO:
        """Of a download that has ended: the open file, or what was raised."""
        if self._error is not None:
            raise self._error
        assert self._file is not None  # one or the other
        return self._file

    def give_up(self) -> None:
        """Nobody waits any more: close what has come, now or when it does."""
        with self._handing_over:
            self._is_wanted = False
            if self._file is not None:
                self._file.close()

    def _run(self) -> None:
        try:
            with scratch_folder() as folder:
                self._folder = folder
                path = Path(self._repository.download_artifacts(self._name, str(folder)))
                with self._handing_over:
                    if self._is_wanted:
                        self._file = path.open("rb")
        except Exception as error:  # raised again by whoever waits
            self._error = error


def wrong_size(uri: str, announced_bytes: int, found: str) -> RefusedUpdateError:
    """The error of weights that are longer or shorter than they should be."""
    return RefusedUpdateError(
        "size", f"The weights at {without_credentials(uri)} have {found} bytes, but {announced_bytes} were announced."
    )
