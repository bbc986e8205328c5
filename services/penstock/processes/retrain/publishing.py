"""The winner put in place of the live model, in an order that must not change.

1. learn everything, the events that were held out too, and then the topic on to where it ends by now
2. claim: from now on the running trainer can announce nothing more
3. learn what was announced or appended meanwhile, so that nothing that replicas have learnt is lost
4. leave the checkpoint in the state folder, for the trainer that starts next
5. append the model-updated event and wait for its acknowledgement
6. record it in MLflow, for trainers elsewhere

Whoever claims between 2 and 5 wins; then the checkpoint is taken back and nothing has changed.
"""

import os
import secrets
import socket
import tempfile
from dataclasses import dataclass
from pathlib import Path

import structlog

from penstock.adapters.disk.handover import hand_over, take_back
from penstock.adapters.disk.pinning import pin
from penstock.adapters.kafka.topic_ends import read_ends, read_log
from penstock.adapters.kafka.topic_names import TopicNames
from penstock.adapters.kafka.update_log import Claimed, KafkaUpdateLog
from penstock.adapters.mlflow.artifacts import ArtifactStore
from penstock.adapters.mlflow.record import MlflowRecord
from penstock.clock import SystemClock
from penstock.errors import FencedError, UnavailableError
from penstock.flow import LabelLog, ModelUpdate, Offsets
from penstock.processes.retrain.sources import Source
from penstock.processes.retrain.teaching import Bar, Pupil
from penstock.processes.retrain.topic import TopicReplay
from penstock.processes.signing import publishing_keys
from penstock.settings import Settings, shown
from penstock.trainer.candidate import AnnouncedCandidate, Candidate, SavedCandidate
from penstock.trainer.recorder import tell_replicas
from penstock.trainer.scores import scores, standing
from penstock.trainer.update import update_of

ROUNDS = 20
"""How often the topic's end is looked at again before the claim; a few events are left for after it."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True, kw_only=True)
class Published:
    """What was announced; `is_recorded` says whether MLflow has its checkpoint."""

    update: ModelUpdate
    handover_folder: Path
    is_recorded: bool


def publish(settings: Settings, source: Source, live: Offsets, bar: Bar) -> Published:
    """Teach one more fresh model everything, and announce it.

    Args:
        settings: the whole configuration.
        source: what it learns from.
        live: the offsets of the live model when the command began.
        bar: for progress.

    Raises:
        FencedError: a trainer has claimed the model meanwhile; nothing has changed.
        UnavailableError: the broker does not answer.
        StateError: the state folder cannot be written.
    """
    record = MlflowRecord(settings.mlflow, settings.model.name, shown(settings)) if settings.mlflow.enabled else None
    if record is not None:
        record.prepare()  # the import takes seconds, which a claim must not
    pupil = Pupil(settings)
    pupil.learn(source.batches(bar, "learning all of it"))
    topic = source.follow(live)
    topic_id = read_log(settings.kafka, TopicNames(settings.model.name).labels).topic_id
    pupil.learner.seek(topic.position, LabelLog(topic_id=topic_id))
    _catch_up(settings, pupil, topic)
    update_log = KafkaUpdateLog(settings.kafka, settings.model.name, signing_keys=publishing_keys(settings))
    try:
        claimed = update_log.claim(f"retrain on {socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}")
        _learn_until(pupil, topic, _announced_or_there(settings, claimed))
        return _announced(settings, pupil, claimed, update_log, record)
    finally:
        update_log.close()


def _catch_up(settings: Settings, pupil: Pupil, topic: TopicReplay) -> None:
    for _ in range(ROUNDS):
        ends = read_ends(settings.kafka, TopicNames(settings.model.name).labels)
        if sum(end - topic.position[partition] for partition, end in ends.next.items()) <= settings.intake.max_events:
            return
        _learn_until(pupil, topic, ends)


def _announced_or_there(settings: Settings, claimed: Claimed) -> Offsets:
    """The ends of the topic, which the last update of the fenced trainer cannot be ahead of."""
    ends = read_ends(settings.kafka, TopicNames(settings.model.name).labels)
    announced = claimed.newest_update.offsets if claimed.newest_update else Offsets()
    return Offsets(next={partition: max(end, announced[partition]) for partition, end in ends.next.items()})


def _learn_until(pupil: Pupil, topic: TopicReplay, until: Offsets) -> None:
    pupil.learn(topic.batches(until))
    pupil.learner.seek(topic.position, pupil.learner.label_log)


def _announced(
    settings: Settings, pupil: Pupil, claimed: Claimed, update_log: KafkaUpdateLog, record: MlflowRecord | None
) -> Published:
    clock = SystemClock()
    run_id = claimed.newest_update.mlflow_run_id if claimed.newest_update else None
    began = clock.monotonic_seconds()
    checkpoint, weights = pupil.learner.capture(
        epoch=claimed.claim.epoch,
        version=claimed.highest_version + 1,
        mlflow_run_id=run_id,
        full_reservoir=True,
    )
    candidate = Candidate(
        checkpoint=checkpoint,
        weights=weights,
        class_names=pupil.learner.class_names,
        metrics=scores(pupil.learner, pupil.last_report),
        standing=standing(pupil.learner),
        drift=pupil.learner.watch.alarms.newest,
        judged=pupil.learner.watch.judged.by_version(),
        captured_at_seconds=began,
    )
    update = update_of(  # before the checkpoint is handed over: large weights go to MLflow, which may be away
        candidate,
        weights_store=ArtifactStore(settings.mlflow, settings.model.name),
        inline_max_bytes=settings.publish.inline_max_bytes,
        announced_at_ms=clock.now_ms(),
        lag_events=0.0,
    )
    folder = hand_over(settings.state.directory, checkpoint, weights)
    with tempfile.TemporaryDirectory(prefix="penstock-retrain-") as scratch:
        pinned = pin(folder, Path(scratch))  # a trainer may take the folder as soon as it starts
        try:
            update_log.append(update)
        except FencedError:
            take_back(settings.state.directory, settings.model.name)
            raise
        announced = AnnouncedCandidate.of(SavedCandidate(candidate=candidate, checkpoint_folder=pinned), update)
        return Published(
            update=update,
            handover_folder=folder,
            is_recorded=record is not None and _recorded(record, announced, update_log),
        )


def _recorded(record: MlflowRecord, announced: AnnouncedCandidate, update_log: KafkaUpdateLog) -> bool:
    record.run_id = announced.update.mlflow_run_id
    try:
        record.record(announced, announced.metrics)
    except UnavailableError as error:
        log.warning("not recorded in MLflow", reason=str(error))
        return False
    finally:
        record.close()
    tell_replicas(update_log, announced.update, record.mlflow_version)
    return True
