"""A folder on a disk of its own that can be filled and made read-only, where this machine lets tests mount one."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

BALLAST = "ballast"
CHUNK = 1 << 16


class SmallDisk:
    """A tmpfs of a few MiB, mounted at `path`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._ballast = path / BALLAST

    def fill(self) -> None:
        """Leave no byte."""
        with self._ballast.open("wb", buffering=0) as file:
            size = CHUNK
            while size:
                try:
                    file.write(b"\\0" * size)
                except OSError:
                    size //= 2

    def empty(self) -> None:
        """Give the space back."""
        self._ballast.unlink()

    @contextmanager
    def read_only(self, folder: Path) -> Iterator[None]:
        """Nothing can be written under a folder of it, by nobody."""
        _run("mount", "--bind", str(folder), str(folder))
        try:
            _run("mount", "-o", "remount,bind,ro", str(folder))
            yield
        finally:
            _run("umount", "--lazy", str(folder))


def can_mount() -> bool:
    """True for root in a machine or container that may mount."""
    return subprocess.run(["unshare", "--mount", "true"], capture_output=True, check=False).returncode == 0


@contextmanager
def small_disk(path: Path, size_mib: int) -> Iterator[SmallDisk]:
    """Mounted until the end."""
    path.mkdir(parents=True)
    _run("mount", "-t", "tmpfs", "-o", f"size={size_mib}m", "penstock-test", str(path))
    try:
        yield SmallDisk(path)
    finally:
        _run("umount", "--lazy", str(path))


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True)
