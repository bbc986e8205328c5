"""Checkpoints read from beside the trainer that writes them: nothing is locked, created or removed."""

from pathlib import Path

from penstock.adapters.disk.folder import load_folder
from penstock.adapters.disk.manifest import TornCheckpointError
from penstock.flow import Checkpoint

ATTEMPTS = 5
"""The folder found may be pruned before it is read; then there is a newer one."""


def read_newest(directory: Path, model: str) -> Checkpoint | None:
    """The newest whole checkpoint of the model under a state directory; None if there is none to be read."""
    folder = directory.absolute() / model / "checkpoints"
    for _ in range(ATTEMPTS):
        try:
            names = [path for path in folder.iterdir() if path.is_dir() and path.name[:1].isdigit()]
        except OSError:
            return None
        for path in sorted(names, key=lambda each: each.name.rpartition("-")[2], reverse=True):
            try:
                return load_folder(path)
            except (TornCheckpointError, OSError):
                continue
        if not names:
            return None
    return None
