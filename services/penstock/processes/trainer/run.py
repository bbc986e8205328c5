"""The trainer process: wiring only. On start: claim, load the newest checkpoint, seek to its offsets, learn on."""

import gc
import os
import sys
from contextlib import ExitStack
from threading import Event

import structlog

from penstock import failpoints
from penstock.adapters.kafka.config import redacted
from penstock.clock import SystemClock
from penstock.learning.device import use_threads
from penstock.processes.trainer.intake_start import intake_start
from penstock.processes.trainer.learner import learner_of
from penstock.processes.trainer.parts import assembled
from penstock.processes.trainer.publishing import publisher_of
from penstock.processes.trainer.resuming import resume
from penstock.settings import Settings
from penstock.trainer.loop import Trainer

SWITCH_INTERVAL_SECONDS = 0.0005
"""Python takes its lock from a busy thread this soon: recording in MLflow holds up no micro-batch for longer."""

log = structlog.get_logger(__name__)


def run(settings: Settings, stop: Event, *, accepts_loss: bool = False) -> int:
    """Train until `stop` is set; returns the exit code. With `accepts_loss` what is gone from the topic is let go of.

    Raises:
        StopError: the reason why this trainer must not go on.
    """
    use_threads(settings.training.num_threads)
    sys.setswitchinterval(SWITCH_INTERVAL_SECONDS)
    log.info("trainer starting", model=settings.model.name, kafka=redacted(settings.kafka), pid=os.getpid())
    with ExitStack() as resources:
        trainer = _started(settings, resources, stop, accepts_loss=accepts_loss)
        if trainer is not None:
            gc.freeze()  # what was imported stays; collections need not walk it between micro-batches
            trainer.run(stop)
    log.info("trainer stopped")
    return 0


def _started(settings: Settings, resources: ExitStack, stop: Event, *, accepts_loss: bool) -> Trainer | None:
    """Everything connected and started; None if `stop` was set while waiting for the broker."""
    parts = assembled(settings, resources)
    resumed = resume(settings, parts, stop, accepts_loss=accepts_loss)
    if resumed is None:
        return None
    learner = learner_of(settings, resumed, stop)
    publisher = publisher_of(settings, parts, resumed, resources)
    publisher.start(None if resumed.point.accepted else learner.offsets)
    resources.callback(publisher.close)
    parts.intake.start(intake_start(settings, learner))
    failpoints.reach("recovery.reading")
    return Trainer(
        batches=parts.intake,
        learner=learner,
        publisher=publisher,
        offset_log=parts.intake,
        telemetry=parts.telemetry,
        clock=SystemClock(),
    )
