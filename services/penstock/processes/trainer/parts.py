"""What a trainer consists of around its learner, wired to the outside."""

from contextlib import ExitStack
from dataclasses import dataclass

import structlog

from penstock.adapters.disk.checkpoints import DiskCheckpoints
from penstock.adapters.intake_process.client import IntakeProcess
from penstock.adapters.kafka.update_log import KafkaUpdateLog
from penstock.adapters.mlflow.record import MlflowRecord
from penstock.adapters.prometheus.telemetry import PrometheusTelemetry
from penstock.learning.warm_up import warm_up
from penstock.processes.intake import COMMAND as INTAKE_COMMAND
from penstock.processes.signing import publishing_keys
from penstock.settings import Settings, shown

log = structlog.get_logger(__name__)


@dataclass(frozen=True, kw_only=True)
class Parts:
    """Of one trainer. Nothing is claimed yet, and the intake is not told where to read."""

    telemetry: PrometheusTelemetry
    intake: IntakeProcess
    update_log: KafkaUpdateLog
    record: MlflowRecord | None
    checkpoints: DiskCheckpoints


def assembled(settings: Settings, resources: ExitStack) -> Parts:
    """All parts; `resources` closes what must be closed.

    The state folder is locked here, before the claim: a trainer that may not use it must not fence the one that does.
    """
    telemetry = _telemetry(settings, resources)
    intake = IntakeProcess(INTAKE_COMMAND, settings.model.schema, telemetry)  # it imports while we do
    resources.callback(intake.close)
    warm_up(settings.model, settings.training)
    update_log = KafkaUpdateLog(settings.kafka, settings.model.name, signing_keys=publishing_keys(settings))
    resources.callback(update_log.close)
    return Parts(
        telemetry=telemetry,
        intake=intake,
        update_log=update_log,
        record=_record(settings, update_log),
        checkpoints=_checkpoints(settings, resources),
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


def _checkpoints(settings: Settings, resources: ExitStack) -> DiskCheckpoints:
    checkpoints = DiskCheckpoints(
        settings.state.directory,
        model=settings.model.name,
        schema_digest=settings.model.schema.digest,
        kept=settings.state.checkpoints_kept,
    )
    resources.callback(checkpoints.close)
    return checkpoints
