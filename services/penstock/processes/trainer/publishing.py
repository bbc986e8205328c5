"""The publisher of a trainer, with those who announce and record for it."""

from contextlib import ExitStack

from penstock.adapters.disk.pinning import pin
from penstock.adapters.kafka.topic_identity import TopicIdentity
from penstock.adapters.kafka.topic_names import TopicNames
from penstock.adapters.mlflow.artifacts import ArtifactStore
from penstock.clock import SystemClock
from penstock.processes.report import page_of
from penstock.processes.trainer.gate import gate_of
from penstock.processes.trainer.parts import Parts
from penstock.processes.trainer.resuming import Resumed, announced_offsets
from penstock.settings import Settings
from penstock.trainer.announcer import Announcer
from penstock.trainer.cadence import Cadence
from penstock.trainer.disk_trouble import DiskTrouble
from penstock.trainer.publisher import Publisher
from penstock.trainer.recorder import Recorder


def publisher_of(settings: Settings, parts: Parts, resumed: Resumed, resources: ExitStack) -> Publisher:
    """Not started; `resources` closes the record."""
    clock, telemetry = SystemClock(), parts.telemetry
    recorder = _recorder(settings, parts, resumed, resources)
    return Publisher(
        checkpoints=parts.checkpoints,
        dead_letters=parts.intake,
        resumable=parts.intake,
        label_topic=TopicIdentity(settings.kafka, TopicNames(settings.model.name).labels),
        announcer=_announcer(settings, parts, resumed, recorder),
        recorder=recorder,
        cadence=Cadence(settings.publish, clock),
        telemetry=telemetry,
        clock=clock,
        epoch=resumed.claimed.claim.epoch,
        last_version=resumed.last_version,
        gate=gate_of(settings, resumed.claimed.newest_update, telemetry),
        disk_trouble=DiskTrouble(telemetry, clock, pauses=settings.state.on_write_failure == "pause"),
    )


def _announcer(settings: Settings, parts: Parts, resumed: Resumed, recorder: Recorder) -> Announcer:
    return Announcer(
        update_log=parts.update_log,
        weights_store=ArtifactStore(settings.mlflow, settings.model.name),
        offset_log=parts.intake,
        recorder=recorder,
        telemetry=parts.telemetry,
        clock=SystemClock(),
        config=settings.publish,
        announced=announced_offsets(resumed),
    )


def _recorder(settings: Settings, parts: Parts, resumed: Resumed, resources: ExitStack) -> Recorder:
    """Goes on with the run of the checkpoint."""
    record = parts.record
    run_id = resumed.checkpoint.mlflow_run_id if resumed.checkpoint else None
    recorder = Recorder(
        record,
        pin=pin,
        pinned_into=parts.checkpoints.recording_folder,
        interval_seconds=settings.mlflow.record_interval_seconds,
        draw=page_of,
        report_interval_seconds=settings.mlflow.report_interval_seconds,
        telemetry=parts.telemetry,
        clock=SystemClock(),
        run_id=run_id,
        update_log=parts.update_log,
    )
    if record is not None:
        record.run_id = run_id
        resources.callback(lambda: None if recorder.is_recording else record.close())  # who hangs once, hangs twice
    return recorder
