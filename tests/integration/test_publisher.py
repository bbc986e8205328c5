"""The order of publication, on a real disk and the embedded broker: saved first, then announced, never backwards."""

import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from committed_offsets import CommittedOffsets
from counted_telemetry import CountedTelemetry
from embedded_brokers import RunningBroker
from kafka_brokers import Broker
from kafka_brokers import embedded as embedded_as_broker
from penstock import failpoints
from penstock.adapters.disk.checkpoints import DiskCheckpoints
from penstock.adapters.disk.pinning import pin
from penstock.adapters.kafka.update_feed import KafkaUpdateFeed
from penstock.adapters.kafka.update_log import KafkaUpdateLog
from penstock.adapters.mlflow.artifacts import ArtifactStore
from penstock.adapters.mlflow.config import MlflowConfig
from penstock.clock import SystemClock
from penstock.errors import FencedError, RetentionError, UnavailableError
from penstock.features import Feature
from penstock.flow import Checkpoint, EventBatch, ModelUpdate, Offsets, Weights
from penstock.learning.config import BackboneConfig, ModelConfig, TrainingConfig
from penstock.learning.learner import Learner
from penstock.replay.config import ReplayConfig
from penstock.trainer.announcer import Announcer
from penstock.trainer.cadence import Cadence
from penstock.trainer.config import PublishConfig
from penstock.trainer.disk_trouble import DiskTrouble
from penstock.trainer.publisher import Publisher
from penstock.trainer.recorder import Recorder
from penstock.wire.columns import batch_schema
from stepped_clock import SteppedClock
from waiting import wait_for

SLOW_SECONDS = 2.5
"""Of a disk, for one checkpoint."""


class HeldLetters:
    """Dead letters whose acknowledgement the test decides; `num_asked` counts how often it was asked for."""

    def __init__(self) -> None:
        self.acknowledged = threading.Event()
        self.acknowledged.set()
        self.num_asked = 0

    def wait_acknowledged(self, timeout_seconds: float) -> bool:
        self.num_asked += 1
        return self.acknowledged.wait(min(timeout_seconds, 0.05))


class LabelTopic:
    """The label topic; it is another one once the test says so."""

    def __init__(self) -> None:
        self.was_made_anew = False

    def confirm(self, topic_id: str | None) -> None:
        assert topic_id is None  # the learner was never told of one
        if self.was_made_anew:
            raise RetentionError("it was made anew")


class Told:
    """What was said to be saved."""

    def __init__(self) -> None:
        self.saved_offsets: list[Offsets] = []

    def saved(self, offsets: Offsets) -> None:
        self.saved_offsets.append(offsets)


class Bench:
    """A publisher with its parts within reach."""

    def __init__(self, broker: Broker, state: Path, model: str, *, last_offsets: Offsets | None = None) -> None:
        clock, telemetry = SystemClock(), CountedTelemetry("trainer")
        self.telemetry = telemetry
        self.config = ModelConfig(
            name=model,
            features=(Feature(name="x", kind="vector", width=2),),
            backbone=BackboneConfig(hidden=(4,)),
        )
        self.learner = Learner(
            self.config, TrainingConfig(device="cpu"), ReplayConfig(capacity=20), topic="t", max_events=8
        )
        self.checkpoints = DiskCheckpoints(state, model=model, schema_digest=self.config.schema.digest, kept=2)
        self.checkpoints.load_newest()  # as a trainer does at start: it takes the folder over
        self._folder = state / model / "checkpoints"
        self.letters, self.offset_log = HeldLetters(), CommittedOffsets()
        self.topic, self.told, self.disk_clock = LabelTopic(), Told(), SteppedClock()
        self.update_log = KafkaUpdateLog(broker.options, model)
        claimed = self.update_log.claim("bench")
        mlflow = MlflowConfig(enabled=False)
        recorder = Recorder(
            None, pin=pin, pinned_into=state, interval_seconds=1, telemetry=telemetry, clock=clock, run_id=None
        )
        self.announcer = Announcer(
            update_log=self.update_log,
            weights_store=ArtifactStore(mlflow, model),
            offset_log=self.offset_log,
            recorder=recorder,
            telemetry=telemetry,
            clock=clock,
            config=PublishConfig(inline_max_bytes=1_000_000),
            announced=last_offsets or Offsets(),
        )
        self.publisher = Publisher(
            checkpoints=self.checkpoints,
            dead_letters=self.letters,
            label_topic=self.topic,
            resumable=self.told,
            disk_trouble=DiskTrouble(telemetry, self.disk_clock, pauses=True),
            announcer=self.announcer,
            recorder=recorder,
            cadence=Cadence(PublishConfig(min_interval_seconds=0.01), clock),
            telemetry=telemetry,
            clock=clock,
            epoch=claimed.claim.epoch,
            last_version=claimed.highest_version,
        )
        self.publisher.start(self.learner.offsets)
        self.new_feed = partial(KafkaUpdateFeed, broker.options, model)
        self._feed = self.new_feed()
        self.announced: list[ModelUpdate] = []

    def learn(self, upto: int) -> None:
        """Learn events so that `upto` is the next offset of partition 0."""
        count = upto - self.learner.offsets[0]
        schema = batch_schema(self.config.schema)
        values: dict[str, Any] = {
            "label": ["a", "b"] * count,
            "weight": np.ones(count),
            "partition": np.zeros(count, np.int32),
            "offset": np.arange(upto - count, upto),
            "row": np.zeros(count, np.int32),
            "timestamp_ms": np.arange(upto - count, upto),
        }
        vector = pa.FixedSizeListArray.from_arrays(pa.array(np.ones(count * 2, np.float32)), 2)
        arrays = [
            vector if pa.types.is_fixed_size_list(field.type) else pa.array(values[field.name][:count], field.type)
            for field in schema
        ]
        batch = pa.RecordBatch.from_arrays(arrays, schema=schema)
        offsets = Offsets(next={0: upto})
        self.learner.learn(EventBatch(events=batch, offsets=offsets, closed_by="size", age_seconds=0.0))

    def num_saved(self) -> int:
        """Checkpoints on disk, as seen from outside while the writer may be at work."""
        return len(list(self._folder.glob("[0-9]*")))

    def see_updates(self) -> list[ModelUpdate]:
        """All updates on the topic so far."""
        records = self._feed.newest() if not self.announced else self._feed.poll(0.05)
        self.announced += [record for record in records if isinstance(record, ModelUpdate)]
        return self.announced

    def publish_until_announced(self, offset: int) -> ModelUpdate:
        """Keep publishing until an update at this offset is on the topic."""

        def announced() -> ModelUpdate | None:
            self.publisher.publish_when_due(self.learner, None)
            return next((update for update in self.see_updates() if update.offsets[0] == offset), None)

        return wait_for(announced, f"an update at offset {offset}")

    def close(self) -> None:
        """End threads and connections."""
        self.letters.acknowledged.set()
        self.publisher.publish_last(self.learner)
        self.update_log.close()
        self.checkpoints.close()
        self._feed.close()


@pytest.fixture
def made(embedded_broker: RunningBroker, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Bench]:
    """A publisher of a model nobody else uses."""
    broker = embedded_as_broker(embedded_broker)
    model = f"m-{tmp_path.name}"
    broker.create_model_topics(model)
    bench = Bench(broker, tmp_path, model, last_offsets=getattr(request, "param", None))
    yield bench
    bench.close()


def test_what_is_announced_is_on_disk_before_and_offsets_are_committed_after(made: Bench) -> None:
    announced_by_then: list[list[Offsets]] = []

    def look() -> None:
        feed = made.new_feed()
        announced_by_then.append([record.offsets for record in feed.newest() if isinstance(record, ModelUpdate)])
        feed.close()

    made.offset_log.when_committing = look
    made.learn(8)
    update = made.publish_until_announced(8)
    saved = made.checkpoints.load_newest()
    assert saved is not None
    assert (saved.version, saved.offsets) == (update.version, update.offsets)
    wait_for(lambda: made.offset_log.committed == update.offsets, "group offsets are committed")
    assert announced_by_then == [[update.offsets]]  # of every commit, the only one


def test_a_version_is_never_used_again_by_whoever_comes_next(
    made: Bench, embedded_broker: RunningBroker, tmp_path: Path
) -> None:
    made.learn(8)
    first = made.publish_until_announced(8)
    after = Bench(embedded_as_broker(embedded_broker), tmp_path / "after", made.config.name)
    try:
        after.learn(16)
        second = after.publish_until_announced(16)
        assert (second.epoch, second.version) == (first.epoch + 1, first.version + 1)
    finally:
        after.close()


def test_versions_only_grow_and_nothing_new_is_not_announced(made: Bench) -> None:
    made.learn(8)
    first = made.publish_until_announced(8)
    for _ in range(20):
        made.publisher.publish_when_due(made.learner, None)
    assert made.publisher.seconds_until_due(made.learner) == float("inf")
    made.learn(16)
    second = made.publish_until_announced(16)
    assert second.version == first.version + 1
    assert [update.version for update in made.see_updates()] == [first.version, second.version]


def test_each_announcement_is_measured(made: Bench) -> None:
    made.learn(8)
    made.publish_until_announced(8)
    made.offset_log.ends = Offsets(next={0: 20, 1: 3})
    made.learn(16)
    update = made.publish_until_announced(16)
    assert (update.metrics["events_learnt"], update.metrics["lag_events"]) == (16, 7)
    value = made.telemetry.value
    info = {"model": update.model, "version": str(update.version), "sha256": update.sha256}
    wait_for(lambda: value("penstock_model_info", **info) == 1, "the version is shown")
    assert value("penstock_updates_published_total") == 2
    assert value("penstock_model_version") == update.version
    assert value("penstock_model_trained_until_timestamp_seconds") == update.trained_until_ms / 1000 == 0.015
    assert value("penstock_announced_bytes_total", way="inline") >= update.size_bytes
    for name in ("penstock_checkpoint_seconds", "penstock_publish_seconds"):
        assert value(f"{name}_count") == 2
        assert 0 < value(f"{name}_sum") < 120


@pytest.mark.parametrize("made", [Offsets(next={0: 20})], indirect=True)
def test_it_stays_silent_until_it_is_ahead_of_what_replicas_have_learnt(made: Bench) -> None:
    made.learn(8)
    made.publisher.publish_when_due(made.learner, None)
    wait_for(made.num_saved, "the checkpoint is written all the same")
    made.learn(24)
    update = made.publish_until_announced(24)
    assert [seen.offsets[0] for seen in made.see_updates()] == [24]
    assert update.metrics["events_learnt"] == 24


def test_a_checkpoint_waits_for_its_dead_letters_and_training_does_not(made: Bench) -> None:
    made.letters.acknowledged.clear()
    made.learn(8)
    made.publisher.publish_when_due(made.learner, None)
    made.learn(16)
    assert made.num_saved() == 0
    made.letters.acknowledged.set()
    wait_for(made.num_saved, "the checkpoint is written")
    made.publish_until_announced(16)


def test_a_fenced_trainer_hears_of_it_when_it_next_publishes(made: Bench, embedded_broker: RunningBroker) -> None:
    made.learn(8)
    made.publish_until_announced(8)
    newer = KafkaUpdateLog(embedded_as_broker(embedded_broker).options, made.config.name)
    newer.claim("newer")
    newer.close()
    made.learn(16)

    def fenced() -> bool:
        try:
            made.publisher.publish_when_due(made.learner, None)
        except FencedError:
            return True
        return False

    wait_for(fenced, "the older trainer is told")
    made.announcer.failure = None  # so that closing does not raise it again


def test_a_trainer_that_is_stopped_waits_for_a_slow_disk_and_announces_what_it_has_saved(
    made: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    save = made.checkpoints.save

    def slowly(checkpoint: Checkpoint, weights: Weights) -> Path:
        threading.Event().wait(SLOW_SECONDS)
        return save(checkpoint, weights)

    monkeypatch.setattr(made.checkpoints, "save", slowly)
    made.learn(8)
    made.publisher.publish_when_due(made.learner, None)
    made.learn(16)
    made.publisher.publish_last(made.learner)
    assert [update.offsets[0] for update in made.see_updates()][-1:] == [16]


def test_a_trainer_that_is_stopped_does_not_ask_twice_where_nobody_answers(
    made: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries: list[int] = []

    def unanswered(update: ModelUpdate) -> None:
        tries.append(update.version)
        raise UnavailableError("Kafka does not answer")

    monkeypatch.setattr(made.update_log, "append", unanswered)
    made.learn(8)
    made.publisher.publish_last(made.learner)
    assert (tries, made.num_saved()) == ([1], 1)


def test_after_a_failure_nothing_is_asked_of_an_intake_that_is_about_to_be_closed(made: Bench) -> None:
    made.letters.acknowledged.clear()
    made.learn(8)
    made.publisher.publish_when_due(made.learner, None)
    wait_for(lambda: made.letters.num_asked > 2, "the writer waits for the acknowledgement", every_seconds=0.005)
    made.publisher.close()
    num_asked = made.letters.num_asked
    made.letters.acknowledged.set()
    assert not made.publisher._writer.is_alive()
    assert made.letters.num_asked == num_asked
    assert made.num_saved() == 0


def test_nothing_learnt_of_another_topic_of_that_name_is_saved(made: Bench) -> None:
    made.learn(8)
    made.publish_until_announced(8)
    assert made.told.saved_offsets == [Offsets(next={0: 8})]
    made.topic.was_made_anew = True
    made.learn(16)

    def stopped() -> bool:
        try:
            made.publisher.publish_when_due(made.learner, None)
        except RetentionError:
            return True
        return False

    wait_for(stopped, "the trainer is told")
    saved = made.checkpoints.load_newest()
    assert saved is not None
    assert saved.offsets == Offsets(next={0: 8})
    made.publisher._failure = None  # so that closing does not raise it again


def test_a_trainer_that_is_to_pause_learns_nothing_while_no_checkpoint_can_be_written(made: Bench) -> None:
    failpoints.arm("checkpoint.tensors_written=enospc@1")
    try:
        made.learn(8)
        made.publisher.publish_when_due(made.learner, None)
        wait_for(lambda: made.publisher.holds_up(0.0), "learning pauses", every_seconds=0.005)
        assert made.num_saved() == 0
        assert made.publisher.seconds_until_due(made.learner) > 0.5
        made.disk_clock.seconds += 1.0
        made.publish_until_announced(8)
        assert not made.publisher.holds_up(0.0)
    finally:
        failpoints.arm("")
