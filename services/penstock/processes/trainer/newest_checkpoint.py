"""The newest checkpoint there is, wherever it was left."""

import time
from pathlib import Path
from threading import Event

import structlog

from penstock.adapters.disk.checkpoints import DiskCheckpoints
from penstock.adapters.mlflow.record import MlflowRecord
from penstock.errors import UnavailableError
from penstock.flow import Checkpoint, ModelUpdate
from penstock.processes.trainer.patience import patiently
from penstock.trainer.ports import Claimed

RECORD_SECONDS = 20.0
"""How long the record of what another writer has announced may take to appear …"""
RECORD_RETRY_SECONDS = 4.0
"""… and how often it is looked for."""

log = structlog.get_logger(__name__)


def checkpoint_to_resume(
    on_disk: Checkpoint | None,
    checkpoints: DiskCheckpoints,
    record: MlflowRecord | None,
    claimed: Claimed,
    stop: Event,
) -> Checkpoint | None:
    """The newest on disk; MLflow's, where the disk has none or another writer has announced a model since."""
    announced = claimed.newest_update
    if on_disk is None:
        return _recorded(checkpoints, record, announced, stop)
    if announced is None or announced.epoch <= on_disk.epoch:
        return on_disk
    return _recorded_since(on_disk, checkpoints, record, announced, stop)


def _recorded(
    checkpoints: DiskCheckpoints, record: MlflowRecord | None, announced: ModelUpdate | None, stop: Event
) -> Checkpoint | None:
    """The newest that MLflow has, for a trainer whose disk has none although updates were announced."""
    if record is None or announced is None:
        return None
    log.warning("no checkpoint on disk but updates on the topic; asking MLflow for the newest record")
    if patiently(lambda: record.newest_checkpoint(checkpoints.incoming_folder), stop):
        return checkpoints.load_newest()
    log.warning("MLflow has no checkpoint either; learning from the start of the topic")
    return None


def _recorded_since(
    on_disk: Checkpoint,
    checkpoints: DiskCheckpoints,
    record: MlflowRecord | None,
    announced: ModelUpdate,
    stop: Event,
) -> Checkpoint:
    """What was announced under a later claim than the checkpoint on disk, if MLflow has it or will have it soon."""
    epochs = {"announced_epoch": announced.epoch, "epoch_on_disk": on_disk.epoch}
    log.warning("another writer has announced a model since the checkpoint on disk", **epochs)
    newest, deadline = on_disk, time.monotonic() + RECORD_SECONDS
    while record is not None and time.monotonic() < deadline and not stop.is_set():
        if _is_there(record, checkpoints.handover_folder):
            newest = checkpoints.load_newest() or on_disk
            if newest.epoch >= announced.epoch:
                return newest
        stop.wait(RECORD_RETRY_SECONDS)
    log.warning("MLflow does not have it; going on from what there is, silent until that has caught up", **epochs)
    return newest


def _is_there(record: MlflowRecord, into: Path) -> bool:
    """False, too, where MLflow does not answer: there is a checkpoint to go on from."""
    try:
        return record.newest_checkpoint(into)
    except UnavailableError as error:
        log.warning("waiting", reason=str(error))
        return False
