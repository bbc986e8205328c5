"""Checkpoints on local disk: `<directory>/<model>/checkpoints/<step>-<epoch>-<sequence>/`, one folder each.

A folder is whole in itself: `checkpoint.json`, `state.safetensors`, large tensors, `weights.safetensors` unless that is
large, `model.json`, the reservoir's segments and the packets of sleeping classes. A checkpoint writes one segment, with
the slots changed since the one before, and the large tensors that have changed, and links the others; so pruning is
removing folders. The highest sequence number is the newest, whatever its step: after a torn checkpoint steps are learnt
again.
"""

import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

import structlog

from penstock import failpoints
from penstock.adapters.disk.files import FileDigest, make_folder, sync_folder
from penstock.adapters.disk.folder import load_folder, read_manifest, write_folder
from penstock.adapters.disk.handover import handover_folder
from penstock.adapters.disk.large_tensors import LargeTensors
from penstock.adapters.disk.lock import FolderLock
from penstock.adapters.disk.manifest import MANIFEST, TornCheckpointError
from penstock.adapters.disk.packets import PacketFile, PacketFolder
from penstock.adapters.disk.segment_files import extended
from penstock.adapters.disk.segments import SegmentChain
from penstock.errors import StateError
from penstock.flow import Checkpoint, Weights

UNFINISHED = "."
"""Begins the name of a folder that is being written or removed."""

log = structlog.get_logger(__name__)


class DiskCheckpoints:
    """Implements `trainer.ports.CheckpointStore`. Not thread-safe: one thread at a time.

    The folder is created, locked and cleared of what a killed trainer left behind with the first call that needs it.
    """

    def __init__(self, directory: Path, *, model: str, schema_digest: str, kept: int) -> None:
        self._home = directory.absolute() / model
        self._folder = model_folder(directory, model)
        self._model = model
        self._schema_digest = schema_digest
        self._kept = kept
        self._lock = FolderLock(self._home / "lock")
        self._is_open = False
        self._torn: set[Path] = set()
        self._sequence = 0
        self._newest: Path | None = None
        self._chain: SegmentChain | None = None
        self._large = LargeTensors()
        self._packet_file = PacketFile()
        self._packet_folder = PacketFolder(self._home / "packets")

    @property
    def incoming_folder(self) -> Path:
        """Where a checkpoint from elsewhere is put as a folder; `load_newest` takes it in."""
        return self._home / "incoming"

    @property
    def handover_folder(self) -> Path:
        """Where another writer leaves a checkpoint for this trainer to go on from: see `handover`."""
        return handover_folder(self._home)

    @property
    def recording_folder(self) -> Path:
        """Where checkpoints are pinned while they are recorded; emptied at start."""
        return self._home / "recording"

    def wants_full_reservoir(self) -> bool:
        """At first, after a load, and after a failure."""
        return self._chain is None

    def save(self, checkpoint: Checkpoint, weights: Weights) -> Path:
        """See `CheckpointStore.save`; also raises `StateError` if the folder cannot be used at all."""
        self._open()
        failpoints.reach("checkpoint.begun")
        chain, self._chain = self._chain, None
        before, self._large = self._large, LargeTensors()
        self._sequence += 1
        name = f"{checkpoint.step:012d}-{checkpoint.epoch:06d}-{self._sequence:08d}"
        folder, unfinished = self._folder / name, self._folder / f"{UNFINISHED}{name}"
        try:
            unfinished.mkdir()
            packets = self._packet_file.put(checkpoint.packets, unfinished, folder, self._sequence)
            failpoints.reach("checkpoint.packets_written")
            large = before.put(checkpoint.tensors, self._newest, unfinished, self._sequence)
            failpoints.reach("checkpoint.large_written")
            chain = self._write(unfinished, checkpoint, weights, chain, packets, large)
            failpoints.reach("checkpoint.written")
            unfinished.rename(folder)
            failpoints.reach("checkpoint.renamed")
            sync_folder(self._folder)
        except BaseException:
            shutil.rmtree(unfinished, ignore_errors=True)
            shutil.rmtree(folder, ignore_errors=True)
            raise
        self._chain, self._large, self._newest = chain, large, folder
        failpoints.reach("checkpoint.durable")
        self._packet_folder.mirror(checkpoint.packets)
        failpoints.reach("checkpoint.pruning")
        self._prune()
        failpoints.reach("checkpoint.pruned")
        return folder

    def load_newest(self) -> Checkpoint | None:
        """See `CheckpointStore.load_newest`."""
        self._open()
        self._chain = None
        self._take_in()
        self._take_over()
        for folder in reversed(self._folders()):
            try:
                checkpoint = load_folder(folder)
            except (TornCheckpointError, OSError) as error:
                log.warning("checkpoint is not whole, trying the one before", folder=str(folder), wrong=str(error))
                self._torn.add(folder)
            else:
                self._refuse_another(checkpoint, folder)
                self._packet_folder.mirror(checkpoint.packets)  # a trainer may have been killed before it did
                return checkpoint
        return None

    def close(self) -> None:
        """Let another trainer use the folder."""
        self._lock.release()
        self._is_open, self._chain = False, None

    def _open(self) -> None:
        if self._is_open:
            return
        try:
            make_folder(self._folder)
            self._lock.acquire()
            for leftover in (*self._folder.glob(f"{UNFINISHED}*"), self.incoming_folder, self.recording_folder):
                if leftover.is_dir():  # a file is not ours: .DS_Store, .nfs…
                    shutil.rmtree(leftover)
        except (FileExistsError, NotADirectoryError):
            raise StateError(
                f"state.directory: {_file_in_the_way(self._folder)} is a file; checkpoints need a folder there."
            ) from None
        except OSError as error:
            raise StateError(
                f"state.directory: the folder {self._home} cannot be used to keep checkpoints: {error.strerror}."
            ) from None
        self._sequence = max((_sequence(folder) for folder in self._folders()), default=0)
        self._is_open = True

    def _write(
        self,
        folder: Path,
        checkpoint: Checkpoint,
        weights: Weights,
        chain: SegmentChain | None,
        packets: Mapping[str, FileDigest],
        large: LargeTensors,
    ) -> SegmentChain:
        chain = extended(chain, checkpoint.reservoir, self._newest, folder, self._sequence)
        failpoints.reach("checkpoint.reservoir_written")
        write_folder(folder, checkpoint, weights, segments=chain.files, packets=packets, large=large)
        return chain

    def _take_in(self) -> None:
        if (self.incoming_folder / MANIFEST).exists():
            self._sequence += 1
            self.incoming_folder.rename(self._folder / f"{0:012d}-{0:06d}-{self._sequence:08d}")

    def _take_over(self) -> None:
        """A checkpoint handed over under a later claim than any here becomes the newest; any other is removed."""
        if not (self.handover_folder / MANIFEST).exists():
            return
        epoch = _epoch(self.handover_folder)
        if epoch > max(map(_epoch, self._folders()), default=-1):
            self._sequence += 1
            self.handover_folder.rename(self._folder / f"{0:012d}-{epoch:06d}-{self._sequence:08d}")
            log.info("going on from the checkpoint that was handed over", epoch=epoch)
        else:
            shutil.rmtree(self.handover_folder)
            log.warning("a checkpoint that was handed over is out of date, and removed", epoch=epoch)

    def _folders(self) -> list[Path]:
        return whole_folders(self._folder)

    def _prune(self) -> None:
        try:
            whole = [folder for folder in self._folders() if folder not in self._torn]
            for folder in (*whole[: -self._kept], *self._torn):
                shutil.rmtree(folder.rename(self._folder / f"{UNFINISHED}{folder.name}"))
                self._torn.discard(folder)
        except OSError as error:
            log.warning("old checkpoints cannot be removed", folder=str(self._folder), reason=str(error))

    def _refuse_another(self, checkpoint: Checkpoint, folder: Path) -> None:
        if checkpoint.model != self._model:
            raise StateError(
                f"state.directory: the checkpoint {folder} is of the model {checkpoint.model!r}, but model.name is "
                f"{self._model!r}; use another folder, or that name."
            )
        if checkpoint.schema_digest != self._schema_digest:
            raise StateError(
                f"state.directory: the checkpoint {folder} was made with the feature schema "
                f"{checkpoint.schema_digest}, but model.features gives {self._schema_digest}; restore those features, "
                "or start a model of another name."
            )


def model_folder(directory: Path, model: str) -> Path:
    """Where the checkpoints of a model lie under the state directory."""
    return directory.absolute() / model / "checkpoints"


def whole_folders(folder: Path) -> list[Path]:
    """The checkpoints in it, oldest first; none if there is no such folder."""
    if not folder.is_dir():
        return []
    folders: Iterator[Path] = (path for path in folder.iterdir() if not path.name.startswith(UNFINISHED))
    return sorted((path for path in folders if path.is_dir() and _sequence(path)), key=_sequence)


def _file_in_the_way(folder: Path) -> Path:
    return next((path for path in (*reversed(folder.parents), folder) if path.exists() and not path.is_dir()), folder)


def _epoch(folder: Path) -> int:
    """Of the claim under which a checkpoint was taken; -1 of one that does not read."""
    try:
        return int(read_manifest(folder).checkpoint["epoch"])
    except (TornCheckpointError, OSError):
        return -1


def _sequence(folder: Path) -> int:
    """The last part of a checkpoint folder's name; 0 for any other name."""
    parts = folder.name.split("-")
    return int(parts[-1]) if len(parts) == 3 and all(part.isascii() and part.isdigit() for part in parts) else 0
