"""The learner that a trainer goes on with: that of its checkpoint, or a fresh one."""

from threading import Event

import structlog

from penstock import failpoints
from penstock.adapters.kafka.topic_names import TopicNames
from penstock.flow import Checkpoint
from penstock.learning.learner import Learner
from penstock.processes.trainer.patience import patiently
from penstock.processes.trainer.resuming import Resumed
from penstock.processes.warm_start import read_weights, start_from
from penstock.settings import Settings

log = structlog.get_logger(__name__)


def learner_of(settings: Settings, resumed: Resumed, stop: Event) -> Learner:
    """As it was captured, or begun from the weights that the configuration names; set to the place to go on from.

    Raises:
        ConfigurationError: the weights to begin with are not there, or not of this model.
        StateError: the checkpoint is of another model, schema or backbone.
    """
    learner = _fresh(settings)
    if resumed.checkpoint is not None:
        _restore(learner, resumed.checkpoint)
    elif uri := settings.model.warm_start.uri:
        content = patiently(lambda: read_weights(settings), stop)
        if content is not None:
            start_from(learner, content, uri)
    log.info("learning on", device=str(learner.device))
    learner.seek(resumed.point.offsets, resumed.point.log)
    failpoints.reach("recovery.restored")
    return learner


def _fresh(settings: Settings) -> Learner:
    return Learner(
        settings.model,
        settings.training,
        settings.replay,
        topic=TopicNames(settings.model.name).labels,
        max_events=settings.intake.max_events,
        hold_out=settings.publish.gate.hold_out,
        dedupe_window_events=settings.intake.dedupe_window_events,
    )


def _restore(learner: Learner, checkpoint: Checkpoint) -> None:
    learner.restore(checkpoint)
    log.info(
        "restored",
        step=checkpoint.step,
        version=checkpoint.version,
        events_learnt=checkpoint.events_learnt,
        offsets=checkpoint.offsets.to_json(),
    )
