"""A publisher on a real disk and a broker, with what surrounds it within a test's reach."""

import threading
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from committed_offsets import CommittedOffsets
from counted_telemetry import CountedTelemetry
from kafka_brokers import Broker
from penstock.adapters.disk.checkpoints import DiskCheckpoints
from penstock.adapters.disk.pinning import pin
from penstock.adapters.kafka.update_feed import KafkaUpdateFeed
from penstock.adapters.kafka.update_log import KafkaUpdateLog
from penstock.adapters.mlflow.artifacts import ArtifactStore
from penstock.adapters.mlflow.config import MlflowConfig
from penstock.clock import SystemClock
from penstock.errors import RetentionError
from penstock.features import Feature
from penstock.flow import EventBatch, ModelUpdate, Offsets
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
