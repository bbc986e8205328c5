"""A model with a large backbone that does not move is announced as what changed, from the learner to the answer."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from committed_offsets import CommittedOffsets
from counted_telemetry import CountedTelemetry
from kafka_brokers import Broker, new_name
from penstock.adapters.disk.pinning import pin
from penstock.adapters.kafka.update_feed import KafkaUpdateFeed
from penstock.adapters.kafka.update_log import KafkaUpdateLog
from penstock.adapters.mlflow.artifacts import ArtifactStore
from penstock.adapters.mlflow.config import MlflowConfig
from penstock.adapters.mlflow.fetcher import ArtifactFetcher
from penstock.clock import SystemClock
from penstock.errors import StopError
from penstock.features import Feature
from penstock.flow import ModelUpdate, Offsets, Recorded
from penstock.learning.config import BackboneConfig, ModelConfig, TrainingConfig
from penstock.learning.learner import Learner
from penstock.learning.rates import LearningRates
from penstock.replay.config import ReplayConfig
from penstock.serving.builder import ModelBuilder
from penstock.serving.slot import ServedModel, Slot
from penstock.serving.updater import Updater
from penstock.trainer.announcer import Announcer
from penstock.trainer.candidate import Candidate, SavedCandidate
from penstock.trainer.config import PublishConfig
from penstock.trainer.recorder import Recorder
from served_models import batch_of
from update_records import read_log
from waiting import wait_for

ROWS = np.random.default_rng(1).normal(size=(4, 784)).astype(np.float32)
LARGE_BYTES = 6_000_000


class Trainer:
    """A learner with a backbone of two million weights that stay as they are, and what announces it."""

    def __init__(self, broker: Broker, folder: Path) -> None:
        self.model = ModelConfig(
            name=new_name(),
            features=(Feature(name="pixels", kind="vector", width=784),),
            backbone=BackboneConfig(hidden=(2048,)),
            heads=("linear",),
        )
        broker.create_model_topics(self.model.name)
        frozen = TrainingConfig(device="cpu", learning_rates=LearningRates(frozen=("lower", "last_block")))
        self.learner = Learner(self.model, frozen, ReplayConfig(capacity=0), topic="t", max_events=64)
        self.mlflow = MlflowConfig(tracking_uri=f"sqlite:///{folder}/mlflow.db")
        self.update_log = KafkaUpdateLog(broker.options, self.model.name)
        self.telemetry = CountedTelemetry("trainer")
        self.epoch = self.update_log.claim("trainer").claim.epoch
        self._folder = folder
        clock = SystemClock()
        self.announcer = Announcer(
            update_log=self.update_log,
            weights_store=ArtifactStore(self.mlflow, self.model.name),
            offset_log=CommittedOffsets(),
            recorder=Recorder(
                None,
                pin=pin,
                pinned_into=folder,
                interval_seconds=1,
                telemetry=self.telemetry,
                clock=clock,
                run_id=None,
            ),
            telemetry=self.telemetry,
            clock=clock,
            config=PublishConfig(),
            announced=Offsets(),
        )
        self.announcer.start()

    def announce(self, version: int) -> None:
        """Learn a little, and announce it."""
        self.learner.learn(batch_of(self.model, 30, classes=5, seed=version))
        checkpoint, weights = self.learner.capture(
            epoch=self.epoch, version=version, mlflow_run_id=None, full_reservoir=True
        )
        assert weights.size_bytes > LARGE_BYTES
        candidate = Candidate(
            checkpoint=replace(checkpoint, offsets=Offsets(next={0: version})),  # they grow as the topic does
            weights=weights,
            class_names=tuple(self.learner.class_names),
            metrics={},
            standing={},
            drift=(),
            captured_at_seconds=0.0,
        )
        self.announcer.offer(SavedCandidate(candidate=candidate, checkpoint_folder=self._folder))
        wait_for(lambda: self.announced_versions == version, f"version {version} is announced", every_seconds=0.005)

    @property
    def announced_versions(self) -> float:
        return self.telemetry.value("penstock_updates_published_total")

    def announced_bytes(self, way: str) -> float:
        return self.telemetry.value("penstock_announced_bytes_total", way=way)

    def close(self) -> None:
        self.announcer.close(2)
        self.update_log.close()


class Replica:
    """What follows the topic in a replica."""

    def __init__(self, trainer: Trainer, broker: Broker) -> None:
        self.slot, self.telemetry = Slot(), CountedTelemetry()
        self._failed: list[StopError] = []
        self._updater = Updater(
            KafkaUpdateFeed(broker.options, trainer.model.name),
            self.slot,
            ModelBuilder(trainer.model, device=torch.device("cpu"), fetcher=ArtifactFetcher(trainer.mlflow)),
            model=trainer.model.name,
            telemetry=self.telemetry,
            clock=SystemClock(),
            give_up=self._failed.append,
        )
        self._updater.start()

    @property
    def _served(self) -> ServedModel | None:
        return self.slot.current

    def wait_for_version(self, version: int) -> None:
        wait_for(
            lambda: self.slot.current is not None and self.slot.current.version == version,
            f"{version} served",
            every_seconds=0.002,
        )

    def wait_for_mlflow_version(self, number: str) -> None:
        wait_for(
            lambda: self.slot.current is not None and self.slot.current.mlflow_version == number,
            "it is told",
            every_seconds=0.002,
        )

    def close(self) -> None:
        self._updater.close()
        assert not self._failed


@pytest.fixture
def trainer(broker: Broker, tmp_path: Path) -> Iterator[Trainer]:
    torch.set_num_threads(1)
    running = Trainer(broker, tmp_path)
    yield running
    running.close()


def test_only_the_head_travels_and_what_is_served_is_what_was_learnt(
    trainer: Trainer, broker: Broker, tmp_path: Path
) -> None:
    trainer.announce(1)
    early = Replica(trainer, broker)
    early.wait_for_version(1)
    for version in (2, 3, 4):
        trainer.announce(version)
        early.wait_for_version(version)
    late = Replica(trainer, broker)
    late.wait_for_version(4)
    expected = trainer.learner.probabilities({"pixels": ROWS})
    for replica in (early, late):
        assert replica.slot.current is not None
        np.testing.assert_allclose(replica.slot.current.probabilities({"pixels": ROWS}), expected, rtol=0, atol=1e-6)
    assert early.telemetry.value("penstock_deltas_total", result="applied") == 3
    wait_for(lambda: late.telemetry.value("penstock_deltas_total", result="applied") == 1, "it is counted")
    assert early.telemetry.results() == {"swapped": 4}
    updates = [one for one in read_log(broker.bootstrap_servers, trainer.model.name) if isinstance(one, ModelUpdate)]
    assert [update.delta is None for update in updates] == [True, False, False, False]
    assert {update.delta.base_uri for update in updates if update.delta is not None} == {updates[0].uri}
    assert trainer.announced_bytes("uri") == updates[0].size_bytes > LARGE_BYTES
    assert 0 < trainer.announced_bytes("delta") < 3 * 5 * 2049 * 4 + 3000
    assert len(list(tmp_path.glob("mlflow-artifacts/weights/*/*"))) == 1
    recorded = Recorded(
        model=trainer.model.name,
        version=4,
        epoch=trainer.epoch,
        sha256=updates[-1].sha256,
        mlflow_version="12",
    )
    trainer.update_log.note_recorded(recorded)
    for replica in (early, late):
        replica.wait_for_mlflow_version("12")
    latest = Replica(trainer, broker)
    latest.wait_for_mlflow_version("12")
    for replica in (early, late, latest):
        replica.close()
