"""The trainer process: wiring only. On start: claim, load the newest checkpoint, seek to its offsets, learn on."""

import gc
import os
import secrets
import socket
import sys
from contextlib import ExitStack
from threading import Event

import structlog

from penstock import failpoints
from penstock.adapters.disk.checkpoints import DiskCheckpoints
from penstock.adapters.disk.pinning import pin
from penstock.adapters.intake_process.client import IntakeProcess
from penstock.adapters.intake_process.messages import Start
from penstock.adapters.kafka.config import redacted
from penstock.adapters.kafka.topic_identity import TopicIdentity
from penstock.adapters.kafka.topic_names import TopicNames
from penstock.adapters.kafka.update_log import KafkaUpdateLog
from penstock.adapters.mlflow.artifacts import ArtifactStore
from penstock.adapters.mlflow.record import MlflowRecord
from penstock.adapters.prometheus.telemetry import PrometheusTelemetry
from penstock.clock import SystemClock
from penstock.flow import Checkpoint, Offsets
from penstock.learning.device import use_threads
from penstock.learning.learner import Learner
from penstock.learning.warm_up import warm_up
from penstock.processes.gate import gate_of
from penstock.processes.intake import COMMAND as INTAKE_COMMAND
from penstock.processes.report import page_of
from penstock.processes.resuming import announced_offsets, checkpoint_to_resume, patiently, point_to_resume
from penstock.processes.signing import publishing_keys
from penstock.processes.warm_start import read_weights, start_from
from penstock.settings import Settings, failpoints_named, shown
from penstock.trainer.announcer import Announcer
from penstock.trainer.cadence import Cadence
from penstock.trainer.disk_trouble import DiskTrouble
from penstock.trainer.loop import Trainer
from penstock.trainer.publisher import Publisher
from penstock.trainer.recorder import Recorder

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
        trainer = _assemble(settings, resources, stop, accepts_loss=accepts_loss)
        if trainer is not None:
            gc.freeze()  # what was imported stays; collections need not walk it between micro-batches
            trainer.run(stop)
    log.info("trainer stopped")
    return 0


def _assemble(settings: Settings, resources: ExitStack, stop: Event, *, accepts_loss: bool) -> Trainer | None:
    """Everything connected and started; None if `stop` was set while waiting for the broker.

    The state folder is locked before the claim: a trainer that may not use it must not fence the one that does.
    """
    clock, telemetry = SystemClock(), _telemetry(settings, resources)
    intake = IntakeProcess(INTAKE_COMMAND, settings.model.schema, telemetry)  # it imports while we do
    resources.callback(intake.close)
    warm_up(settings.model, settings.training)
    update_log = KafkaUpdateLog(settings.kafka, settings.model.name, signing_keys=publishing_keys(settings))
    resources.callback(update_log.close)
    record = _record(settings, update_log)
    checkpoints = _checkpoints(settings, resources)
    failpoints.reach("recovery.begun")
    on_disk = checkpoints.load_newest()
    failpoints.reach("recovery.loaded")
    claimed = patiently(lambda: update_log.claim(_holder()), stop)
    if claimed is None:
        return None
    log.info("claimed", epoch=claimed.claim.epoch, last_version=claimed.highest_version)

    checkpoint = checkpoint_to_resume(on_disk, checkpoints, record, claimed, stop)
    failpoints.reach("recovery.chosen")
    point = point_to_resume(settings, checkpoint, telemetry, stop, accepts_loss=accepts_loss)
    if point is None:
        return None
    learner = _learner(settings, checkpoint, stop)
    learner.seek(point.offsets, point.log)
    failpoints.reach("recovery.restored")
    recorder = _recorder(settings, record, checkpoints, checkpoint, telemetry, resources, update_log)
    publisher = Publisher(
        checkpoints=checkpoints,
        dead_letters=intake,
        resumable=intake,
        label_topic=TopicIdentity(settings.kafka, TopicNames(settings.model.name).labels),
        announcer=_announcer(
            settings,
            update_log,
            intake,
            recorder,
            telemetry,
            announced=announced_offsets(checkpoint, claimed.newest_update, point),
        ),
        recorder=recorder,
        cadence=Cadence(settings.publish, clock),
        telemetry=telemetry,
        clock=clock,
        epoch=claimed.claim.epoch,
        last_version=max(claimed.highest_version, checkpoint.version if checkpoint else 0),
        gate=gate_of(settings, claimed.newest_update, telemetry),
        disk_trouble=DiskTrouble(telemetry, clock, pauses=settings.state.on_write_failure == "pause"),
    )
    publisher.start(None if point.accepted else learner.offsets)
    resources.callback(publisher.close)
    intake.start(_intake_start(settings, learner))
    failpoints.reach("recovery.reading")
    return Trainer(
        batches=intake, learner=learner, publisher=publisher, offset_log=intake, telemetry=telemetry, clock=clock
    )


def _checkpoints(settings: Settings, resources: ExitStack) -> DiskCheckpoints:
    checkpoints = DiskCheckpoints(
        settings.state.directory,
        model=settings.model.name,
        schema_digest=settings.model.schema.digest,
        kept=settings.state.checkpoints_kept,
    )
    resources.callback(checkpoints.close)
    return checkpoints


def _announcer(
    settings: Settings,
    update_log: KafkaUpdateLog,
    intake: IntakeProcess,
    recorder: Recorder,
    telemetry: PrometheusTelemetry,
    *,
    announced: Offsets,
) -> Announcer:
    return Announcer(
        update_log=update_log,
        weights_store=ArtifactStore(settings.mlflow, settings.model.name),
        offset_log=intake,
        recorder=recorder,
        telemetry=telemetry,
        clock=SystemClock(),
        config=settings.publish,
        announced=announced,
    )


def _telemetry(settings: Settings, resources: ExitStack) -> PrometheusTelemetry:
    telemetry = PrometheusTelemetry(side="trainer")
    telemetry.gauge("penstock_reservoir_capacity_rows", settings.replay.capacity)
    server = telemetry.serve(settings.telemetry.host, settings.telemetry.port)
    resources.callback(server.close)
    log.info("metrics", url=f"http://{settings.telemetry.host}:{server.port}/metrics")
    return telemetry


def _record(settings: Settings, update_log: KafkaUpdateLog) -> MlflowRecord | None:
    """Imported before the claim: beside learning, the import would hold it up for a second or two."""
    if not settings.mlflow.enabled:
        return None
    record = MlflowRecord(settings.mlflow, settings.model.name, shown(settings), refuse_fenced=update_log.refuse_fenced)
    record.prepare()
    return record


def _recorder(
    settings: Settings,
    record: MlflowRecord | None,
    checkpoints: DiskCheckpoints,
    checkpoint: Checkpoint | None,
    telemetry: PrometheusTelemetry,
    resources: ExitStack,
    update_log: KafkaUpdateLog,
) -> Recorder:
    """Goes on with the run of the checkpoint."""
    run_id = checkpoint.mlflow_run_id if checkpoint else None
    recorder = Recorder(
        record,
        pin=pin,
        pinned_into=checkpoints.recording_folder,
        interval_seconds=settings.mlflow.record_interval_seconds,
        draw=page_of,
        report_interval_seconds=settings.mlflow.report_interval_seconds,
        telemetry=telemetry,
        clock=SystemClock(),
        run_id=run_id,
        update_log=update_log,
    )
    if record is not None:
        record.run_id = run_id
        resources.callback(lambda: None if recorder.is_recording else record.close())  # who hangs once, hangs twice
    return recorder


def _holder() -> str:
    """Unlike any other trainer's: in containers, host names and process ids may repeat."""
    return f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}"


def _learner(settings: Settings, checkpoint: Checkpoint | None, stop: Event) -> Learner:
    learner = Learner(
        settings.model,
        settings.training,
        settings.replay,
        topic=TopicNames(settings.model.name).labels,
        max_events=settings.intake.max_events,
        hold_out=settings.publish.gate.hold_out,
        dedupe_window_events=settings.intake.dedupe_window_events,
    )
    if checkpoint is not None:
        learner.restore(checkpoint)
        log.info(
            "restored",
            step=checkpoint.step,
            version=checkpoint.version,
            events_learnt=checkpoint.events_learnt,
            offsets=checkpoint.offsets.to_json(),
        )
    elif uri := settings.model.warm_start.uri:
        content = patiently(lambda: read_weights(settings), stop)
        if content is not None:
            start_from(learner, content, uri)
    log.info("learning on", device=str(learner.device))
    return learner


def _intake_start(settings: Settings, learner: Learner) -> Start:
    return Start(
        model=settings.model.name,
        features=settings.model.schema.features,
        kafka=settings.kafka,
        intake=settings.intake,
        offsets=learner.offsets.next,
        step=learner.step,
        read_until_ms=learner.read_until_ms if settings.serving.prediction_log.enabled else None,
        failpoints=failpoints_named(),
        seen=learner.seen.entries().tobytes(),
        num_classes=len(learner.class_names),
        max_classes=settings.model.max_classes,
    )
