"""With which state a trainer goes on, the newest there is, and from where in the label topic."""

from dataclasses import dataclass
from threading import Event

import structlog

from penstock import failpoints
from penstock.adapters.kafka.topic_ends import read_log
from penstock.adapters.kafka.topic_names import TopicNames
from penstock.clock import SystemClock
from penstock.flow import Checkpoint, Offsets
from penstock.processes.trainer.claiming import claim_patiently
from penstock.processes.trainer.newest_checkpoint import checkpoint_to_resume
from penstock.processes.trainer.parts import Parts
from penstock.processes.trainer.patience import patiently
from penstock.settings import Settings
from penstock.telemetry import Telemetry
from penstock.trainer.ports import Claimed
from penstock.trainer.resume_point import ResumePoint, resume_point

log = structlog.get_logger(__name__)


@dataclass(frozen=True, kw_only=True)
class Resumed:
    """What was found at start: the claim, the checkpoint if there is one, and where in the label topic it goes on."""

    claimed: Claimed
    checkpoint: Checkpoint | None
    point: ResumePoint

    @property
    def last_version(self) -> int:
        """The highest version ever given, to a checkpoint or an update; 0 if there is none."""
        return max(self.claimed.highest_version, self.checkpoint.version if self.checkpoint else 0)


def resume(settings: Settings, parts: Parts, stop: Event, *, accepts_loss: bool) -> Resumed | None:
    """Claim, then choose; None if `stop` was set while waiting for the broker.

    What lies on disk is read before the claim: a trainer that cannot read it must not fence the one before.

    Raises:
        StopError: the reason why there is nothing that this trainer may go on with.
    """
    failpoints.reach("recovery.begun")
    on_disk = parts.checkpoints.load_newest()
    failpoints.reach("recovery.loaded")
    claimed = claim_patiently(parts.update_log, stop)
    if claimed is None:
        return None
    checkpoint = checkpoint_to_resume(on_disk, parts.checkpoints, parts.record, claimed, stop)
    failpoints.reach("recovery.chosen")
    point = _point(settings, checkpoint, parts.telemetry, stop, accepts_loss=accepts_loss)
    return None if point is None else Resumed(claimed=claimed, checkpoint=checkpoint, point=point)


def announced_offsets(resumed: Resumed) -> Offsets:
    """What replicas have been told of the topic that is read: nothing, if the last update was of another of its name.

    A model that begins is silent until it has learnt something.
    """
    update, point = resumed.claimed.newest_update, resumed.point
    if update is not None and (update.topic_id or point.log.topic_id) == (point.log.topic_id or update.topic_id):
        return update.offsets
    return point.offsets if resumed.checkpoint is None else Offsets()


def _point(
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
