"""One checkpoint folder, read and verified whole."""

from pathlib import Path

from penstock.adapters.disk.files import digest_of, read_file
from penstock.adapters.disk.manifest import MANIFEST, STATE, Manifest, TornCheckpointError
from penstock.adapters.disk.packets import PREFIX, packets_in
from penstock.adapters.disk.segments import merged
from penstock.adapters.disk.tensor_file import read_tensors
from penstock.flow import Array, Checkpoint


def load_folder(folder: Path) -> Checkpoint:
    """The checkpoint in this folder, its reservoir complete (`full`); every file is held against its digest.

    Raises:
        TornCheckpointError: a file is missing, is not what was written, or the reservoir's segments do not merge.
        OSError: the disk.
    """
    manifest = _manifest(folder)
    packets = [name for name in manifest.files if name.startswith(PREFIX)]
    arrays = {name: _tensors(folder, name, manifest) for name in (STATE, *manifest.segments, *packets)}
    for name in manifest.files.keys() - arrays.keys():
        _verify(folder, name, manifest)
    return manifest.restored(
        arrays[STATE],
        merged([arrays[name] for name in manifest.segments]),
        {name: packet for file in packets for name, packet in packets_in(arrays[file]).items()},
    )


def _manifest(folder: Path) -> Manifest:
    try:
        return Manifest.from_bytes((folder / MANIFEST).read_bytes())
    except FileNotFoundError:
        raise TornCheckpointError(f"{MANIFEST} is missing") from None


def _tensors(folder: Path, name: str, manifest: Manifest) -> dict[str, Array]:
    try:
        content, digest = read_file(folder / name)
    except FileNotFoundError:
        raise TornCheckpointError(f"{name} is missing") from None
    if digest != manifest.files.get(name):
        raise TornCheckpointError(f"{name} is not the file that was written")
    return read_tensors(content)


def _verify(folder: Path, name: str, manifest: Manifest) -> None:
    try:
        whole = digest_of(folder / name) == manifest.files[name]
    except FileNotFoundError:
        raise TornCheckpointError(f"{name} is missing") from None
    if not whole:
        raise TornCheckpointError(f"{name} is not the file that was written")
