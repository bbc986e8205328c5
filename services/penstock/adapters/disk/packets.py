"""Packets of sleeping classes on disk: all of them inside each checkpoint, and each as a file for people to keep.

Inside a checkpoint they are one file, which is written when they change and linked while they do not.
"""

import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import structlog

from penstock.adapters.disk.files import FileDigest, link_or_copy, sync_folder
from penstock.adapters.disk.tensor_file import write_tensors
from penstock.flow import Array

PREFIX = "packets-"
"""Begins the name of the file inside a checkpoint."""

log = structlog.get_logger(__name__)


class PacketFile:
    """The file of the last checkpoint, as long as it holds what the next one needs."""

    def __init__(self) -> None:
        self._packets: Mapping[str, bytes] = {}
        self._file: tuple[Path, FileDigest] | None = None

    def put(self, packets: Mapping[str, bytes], unfinished: Path, folder: Path, sequence: int) -> dict[str, FileDigest]:
        """Write or link the file into a checkpoint's `unfinished` folder, which becomes `folder`. Raises `OSError`.

        Returns its name and digest; nothing where no class sleeps.
        """
        before, self._file = self._file, None
        if not packets:
            return {}
        if before is not None and before[0].parent.exists() and dict(packets) == dict(self._packets):
            path, digest = before
            link_or_copy(path, unfinished / path.name)
        else:
            path = Path(f"{PREFIX}{sequence:08d}.safetensors")
            arrays: dict[str, Array] = {name: np.frombuffer(packet, np.uint8) for name, packet in packets.items()}
            digest = write_tensors(unfinished / path.name, arrays)
        self._packets, self._file = dict(packets), (folder / path.name, digest)
        return {path.name: digest}


def packets_in(arrays: Mapping[str, Array]) -> dict[str, bytes]:
    """The packets of such a file."""
    return {name: array.tobytes() for name, array in arrays.items()}


class PacketFolder:
    """`packets/`, one file for each class that sleeps; it follows the newest checkpoint."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._mirrored: Mapping[str, bytes] | None = None

    def mirror(self, packets: Mapping[str, bytes]) -> None:
        """Make the folder hold these; a disk that refuses costs a warning, since the checkpoint has them too."""
        if packets == self._mirrored:
            return
        try:
            self._follow(packets)
        except OSError as error:
            log.warning("packets of sleeping classes are not written", folder=str(self._folder), reason=str(error))
        else:
            self._mirrored = dict(packets)

    def _follow(self, packets: Mapping[str, bytes]) -> None:
        if not packets and not self._folder.exists():
            return
        self._folder.mkdir(parents=True, exist_ok=True)
        for path in self._folder.iterdir():
            if path.name not in packets:
                path.unlink()
        for name, content in packets.items():
            path = self._folder / name
            if path.exists() and path.read_bytes() == content:
                continue
            unfinished = self._folder / f".{name}"
            with unfinished.open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            unfinished.rename(path)
        sync_folder(self._folder)
