"""One trainer per state folder, by a lock that the kernel lets go of when its holder dies."""

import fcntl
import os
import socket
from pathlib import Path

from penstock.errors import StateError


class FolderLock:
    """Held from `acquire` until `release` or the end of the process."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor: int | None = None

    def acquire(self) -> None:
        """Take the lock; at once.

        Raises:
            StateError: another trainer holds it.
            OSError: the lock file cannot be opened.
        """
        if self._descriptor is not None:
            return
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(descriptor, 1024).decode(errors="replace").strip() or "not yet named"
            os.close(descriptor)
            raise StateError(
                f"state.directory: the folder {self._path.parent} is in use by another trainer ({holder}); "
                "stop that one or give this one a folder of its own."
            ) from None
        except OSError:
            os.close(descriptor)
            raise
        os.ftruncate(descriptor, 0)
        os.write(descriptor, f"pid {os.getpid()} on {socket.gethostname()}\n".encode())
        self._descriptor = descriptor

    def release(self) -> None:
        """Let go; the file stays, as removing it would race with the next holder."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
