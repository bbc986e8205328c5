"""A checkpoint left for the trainer of a state folder by somebody who does not hold the folder's lock.

The trainer takes it over when it starts next, if it was taken under a later claim than all checkpoints that it has.
"""

import shutil
from pathlib import Path

from penstock.adapters.disk.files import sync_folder
from penstock.adapters.disk.folder import write_folder
from penstock.adapters.disk.large_tensors import LargeTensors
from penstock.adapters.disk.packets import PacketFile
from penstock.adapters.disk.segments import to_arrays
from penstock.adapters.disk.tensor_file import write_tensors
from penstock.errors import StateError
from penstock.flow import Checkpoint, Weights

SEQUENCE = 0
SEGMENT = f"reservoir-{SEQUENCE:08d}.safetensors"


def handover_folder(home: Path) -> Path:
    """Within `<state.directory>/<model>`."""
    return home / "handover"


def hand_over(directory: Path, checkpoint: Checkpoint, weights: Weights) -> Path:
    """Leave a checkpoint, its reservoir complete (`full`), in place of one that was left before; returns its folder.

    When this returns all of it is on the disk; before, nothing of it can be seen.

    Raises:
        StateError: `state.directory` cannot be written.
    """
    home = directory.absolute() / checkpoint.model
    folder = handover_folder(home)
    unfinished = folder.with_name(f".{folder.name}")
    try:
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(parents=True)
        segment = write_tensors(unfinished / SEGMENT, to_arrays(checkpoint.reservoir))
        packets = PacketFile().put(checkpoint.packets, unfinished, folder, SEQUENCE)
        large = LargeTensors().put(checkpoint.tensors, None, unfinished, SEQUENCE)
        write_folder(unfinished, checkpoint, weights, segments={SEGMENT: segment}, packets=packets, large=large)
        shutil.rmtree(folder, ignore_errors=True)
        unfinished.rename(folder)
        sync_folder(home)
    except OSError as error:
        shutil.rmtree(unfinished, ignore_errors=True)
        raise StateError(
            f"state.directory: the checkpoint cannot be left in {folder} for the trainer: {error.strerror}."
        ) from None
    return folder


def take_back(directory: Path, model: str) -> None:
    """Remove what was handed over, if no trainer has taken it."""
    shutil.rmtree(handover_folder(directory.absolute() / model), ignore_errors=True)
