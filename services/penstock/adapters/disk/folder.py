"""One checkpoint folder: written whole, read and verified whole."""

from collections.abc import Mapping
from pathlib import Path

from penstock import failpoints
from penstock.adapters.disk.files import FileDigest, digest_of, read_file, sync_folder, write_file
from penstock.adapters.disk.large_tensors import PREFIX as LARGE
from penstock.adapters.disk.large_tensors import LargeTensors, without_large
from penstock.adapters.disk.manifest import (
    MANIFEST,
    MODEL_CARD,
    MOST_WEIGHTS_BYTES,
    STATE,
    WEIGHTS,
    Manifest,
    TornCheckpointError,
)
from penstock.adapters.disk.packets import PREFIX as PACKETS
from penstock.adapters.disk.packets import packets_in
from penstock.adapters.disk.segments import merged
from penstock.adapters.disk.tensor_file import read_tensors, write_tensors
from penstock.flow import Array, Checkpoint, SlotChanges, Weights
from penstock.learning.weights import model_json


def write_folder(
    folder: Path,
    checkpoint: Checkpoint,
    weights: Weights,
    *,
    segments: Mapping[str, FileDigest],
    packets: Mapping[str, FileDigest],
    large: LargeTensors,
) -> None:
    """Fill a folder that holds segments of the reservoir, packets and large tensors already, and fsync it.

    Raises:
        OSError: the disk.
    """
    files: dict[str, FileDigest] = {
        STATE: write_tensors(folder / STATE, without_large(checkpoint.tensors)),
        MODEL_CARD: write_file(folder / MODEL_CARD, [model_json(weights)]),
        **segments,
        **packets,
        **large.files,
    }
    if weights.size_bytes <= MOST_WEIGHTS_BYTES:
        files[WEIGHTS] = write_file(folder / WEIGHTS, [weights.content])
    failpoints.reach("checkpoint.tensors_written")
    manifest = Manifest.of(checkpoint, files, tuple(segments))
    write_file(folder / MANIFEST, [manifest.to_bytes()])
    failpoints.reach("checkpoint.manifest_written")
    sync_folder(folder)


def read_manifest(folder: Path) -> Manifest:
    """What a checkpoint folder says of itself.

    Raises:
        TornCheckpointError: it is missing, or not what was written.
        OSError: the disk.
    """
    return _manifest(folder)


def load_folder(folder: Path) -> Checkpoint:
    """The checkpoint in this folder, its reservoir complete (`full`); every file is held against its digest.

    Raises:
        TornCheckpointError: a file is missing, is not what was written, or the reservoir's segments do not merge; or it
            is another checkpoint than its name says.
        OSError: the disk.
    """
    manifest = _manifest(folder)
    _refuse_another_name(folder, manifest)
    packets = [name for name in manifest.files if name.startswith(PACKETS)]
    tensors = [STATE, *(name for name in manifest.files if name.startswith(LARGE))]
    arrays = {name: _tensors(folder, name, manifest.files) for name in (*tensors, *manifest.segments, *packets)}
    for name in manifest.files.keys() - arrays.keys():
        _verify(folder, name, manifest)
    return manifest.restored(
        {name: array for file in tensors for name, array in arrays[file].items()},
        merged([arrays[name] for name in manifest.segments]),
        {name: packet for file in packets for name, packet in packets_in(arrays[file]).items()},
    )


def merged_files(folder: Path, segments: Mapping[str, FileDigest]) -> SlotChanges:
    """The rows of these segments of a reservoir, oldest first, as one; each file is held against its digest.

    Raises:
        TornCheckpointError: a file is missing, is not what was written, or they do not merge.
        OSError: the disk.
    """
    return merged([_tensors(folder, name, segments) for name in segments])


def _refuse_another_name(folder: Path, manifest: Manifest) -> None:
    """A whole checkpoint in the place of a newer one is no newer for it; one from elsewhere has no step in its name."""
    parts = folder.name.split("-")
    step, epoch = manifest.checkpoint["step"], manifest.checkpoint["epoch"]
    if len(parts) == 3 and int(parts[0]) and (int(parts[0]), int(parts[1])) != (step, epoch):
        raise TornCheckpointError(f"it is the checkpoint of step {step} and epoch {epoch}, under another's name")


def _manifest(folder: Path) -> Manifest:
    try:
        return Manifest.from_bytes((folder / MANIFEST).read_bytes())
    except FileNotFoundError:
        raise TornCheckpointError(f"{MANIFEST} is missing") from None


def _tensors(folder: Path, name: str, files: Mapping[str, FileDigest]) -> dict[str, Array]:
    try:
        content, digest = read_file(folder / name)
    except FileNotFoundError:
        raise TornCheckpointError(f"{name} is missing") from None
    if digest != files.get(name):
        raise TornCheckpointError(f"{name} is not the file that was written")
    return read_tensors(content)


def _verify(folder: Path, name: str, manifest: Manifest) -> None:
    try:
        whole = digest_of(folder / name) == manifest.files[name]
    except FileNotFoundError:
        raise TornCheckpointError(f"{name} is missing") from None
    if not whole:
        raise TornCheckpointError(f"{name} is not the file that was written")
