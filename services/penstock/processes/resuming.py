"""With which state a trainer goes on, the newest there is, wherever it was left; and from where in the label topic."""

import time
from collections.abc import Callable
from threading import Event
from typing import TypeVar

import structlog

from penstock.adapters.disk.checkpoints import DiskCheckpoints
from penstock.adapters.kafka.topic_ends import read_log
from penstock.adapters.kafka.topic_names import TopicNames
from penstock.adapters.mlflow.record import MlflowRecord
from penstock.clock import SystemClock
from penstock.errors import UnavailableError
from penstock.flow import Checkpoint, ModelUpdate, Offsets
from penstock.settings import Settings
from penstock.telemetry import Telemetry
from penstock.trainer.ports import Claimed
from penstock.trainer.resume_point import ResumePoint, resume_point

RETRY_SECONDS = 1.0
RECORD_SECONDS = 20.0
"""How long the record of what another writer has announced may take to appear …"""
RECORD_RETRY_SECONDS = 4.0
"""… and how often it is looked for."""

T = TypeVar("T")
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


def point_to_resume(
    settings: Settings, checkpoint: Checkpoint | None, telemetry: Telemetry, stop: Event, *, accepts_loss: bool
) -> ResumePoint | None:
    """Where in the label topic the checkpoint goes on; None if `stop` was set while waiting for the broker.

    Raises:
        RetentionError: not everything that it has not learnt is there any more, and that is not accepted.
    """
    bounds = patiently(lambda: read_log(settings.kafka, TopicNames(settings.model.name).labels), stop)
    if bounds is None:
        return None
    point = resume_point(checkpoint, bounds, accepts_loss=accepts_loss, now_ms=SystemClock().now_ms())
    for loss in point.accepted:
        log.warning(
            "a loss was accepted",
            topic=bounds.topic,
            partition=loss.partition,
            reason=loss.reason,
            events_lost="unknown" if loss.num_events is None else loss.num_events,
            wanted_offset=loss.wanted,
            resumed_at=loss.resumed_at,
        )
    for loss in point.log.losses:
        telemetry.count("penstock_events_lost_total", loss.num_events or 0, reason=loss.reason)
    return point


def announced_offsets(checkpoint: Checkpoint | None, update: ModelUpdate | None, point: ResumePoint) -> Offsets:
    """What replicas have been told of the topic that is read: nothing, if the last update was of another of its name.

    A model that begins is silent until it has learnt something.
    """
    if update is not None and (update.topic_id or point.log.topic_id) == (point.log.topic_id or update.topic_id):
        return update.offsets
    return point.offsets if checkpoint is None else Offsets()


def patiently(attempt: Callable[[], T], stop: Event) -> T | None:
    """Try until the outside answers or `stop` is set; says so while it waits."""
    while not stop.is_set():
        try:
            return attempt()
        except UnavailableError as error:
            log.warning("waiting", reason=str(error))
            stop.wait(RETRY_SECONDS)
    return None


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
        if patiently(lambda: record.newest_checkpoint(checkpoints.handover_folder), stop):
            newest = checkpoints.load_newest() or on_disk
            if newest.epoch >= announced.epoch:
                return newest
        stop.wait(RECORD_RETRY_SECONDS)
    log.warning("MLflow does not have it; going on from what there is, silent until that has caught up", **epochs)
    return newest
