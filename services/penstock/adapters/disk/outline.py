"""A look at a checkpoint from outside, while its trainer is at work: without the lock, and only the parts asked for."""

import mmap
from collections.abc import Mapping
from pathlib import Path

from penstock.adapters.disk.checkpoints import model_folder, whole_folders
from penstock.adapters.disk.large_tensors import PREFIX as LARGE
from penstock.adapters.disk.manifest import MANIFEST, STATE, Manifest, TornCheckpointError
from penstock.adapters.disk.segments import COLUMN, SLOTS, merged
from penstock.adapters.disk.tensor_file import read_tensors
from penstock.flow import Array, Checkpoint

ATTEMPTS = 3
"""The folder that is the newest now may be pruned before it is read."""


def newest_outline(
    directory: Path, model: str, *, tensors: tuple[str, ...], columns: tuple[str, ...]
) -> Checkpoint | None:
    """What `outline` finds in the newest checkpoint of this model; None if there is none that can be read."""
    for _ in range(ATTEMPTS):
        folders = whole_folders(model_folder(directory, model))
        for folder in reversed(folders):
            try:
                return outline(folder, tensors=tensors, columns=columns)
            except (ValueError, OSError):
                continue
        if not folders:
            return None
    return None


def outline(folder: Path, *, tensors: tuple[str, ...], columns: tuple[str, ...]) -> Checkpoint:
    """The checkpoint in this folder: the tensors whose names begin so, these columns of its reservoir, no packets.

    Files are mapped rather than read, so what was not asked for costs nothing; digests are not held against them.

    Raises:
        ValueError: the manifest or a file is torn, or a column is missing.
        OSError: a file is gone.
    """
    manifest = Manifest.from_bytes((folder / MANIFEST).read_bytes())
    files = [STATE, *(name for name in manifest.files if name.startswith(LARGE))]
    held = {name: array for file in files for name, array in _mapped(folder / file).items()}
    chosen = {name: array.copy() for name, array in held.items() if name.startswith(tensors)}
    wanted = {SLOTS, *(COLUMN + name for name in columns)}
    segments = [_only(wanted, _mapped(folder / name)) for name in manifest.segments]
    return manifest.restored(chosen, merged(segments), packets={})


def _mapped(path: Path) -> dict[str, Array]:
    with path.open("rb") as file:
        return read_tensors(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))


def _only(wanted: set[str], arrays: Mapping[str, Array]) -> dict[str, Array]:
    if missing := wanted - arrays.keys():
        raise TornCheckpointError(f"a reservoir segment lacks {', '.join(sorted(missing))}")
    return {name: arrays[name] for name in wanted}
