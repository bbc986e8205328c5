"""A replica's memory stays where it is, however many versions it takes up."""

from functools import partial
from pathlib import Path

import psutil
import torch
from confluent_kafka import Producer

from embedded_brokers import embedded_broker_process
from line import line, served_version
from penstock.features import Feature
from penstock.learning.config import BackboneConfig, ModelConfig, TrainingConfig
from penstock.learning.learner import Learner
from penstock.replay.config import ReplayConfig
from penstock.wire.model_update import encode_record
from replica_configuration import replica_configuration
from served_models import batch_of, update_with
from waiting import wait_for

MODEL = ModelConfig(
    name="wide",
    features=(Feature(name="pixels", kind="vector", width=64),),
    backbone=BackboneConfig(hidden=(1500,)),
)
SETTLED, SWAPS = 50, 500


def test_it_is_flat_over_five_hundred_swaps(tmp_path: Path) -> None:
    torch.set_num_threads(1)
    learner = Learner(MODEL, TrainingConfig(device="cpu"), ReplayConfig(capacity=0), topic="wide.labels", max_events=64)
    learner.learn(batch_of(MODEL, 60, classes=5, seed=1))
    weights = learner.capture(epoch=1, version=1, mlflow_run_id=None, full_reservoir=True)[1]
    with embedded_broker_process() as broker:
        servers = broker.bootstrap_servers
        broker.create_topic("wide.updates", 1)
        text = replica_configuration(MODEL, servers, tmp_path / "state")
        with line(tmp_path, servers, MODEL.name, text) as running:
            replica, url = running.start_replica()
            process = psutil.Process(replica.pid)
            producer = Producer({"bootstrap.servers": servers, "log_level": 0, "linger.ms": 0})
            resident: list[int] = []
            for version in range(1, SETTLED + SWAPS + 1):
                update = update_with(weights, version=version, model=MODEL.name)
                key, value = encode_record(update, MODEL.name)
                assert value is not None
                producer.produce("wide.updates", value, key=key, partition=0)
                assert producer.flush(60) == 0
                wait_for(partial(_serves, url, version), "it is served", every_seconds=0.002)
                if version > SETTLED:
                    resident.append(process.memory_info().rss)
    growth = max(resident) - resident[0]
    assert growth < 0.05 * resident[0]
    assert growth < 0.2 * SWAPS * weights.size_bytes, "weights of many versions are kept"


def _serves(url: str, version: int) -> bool:
    return served_version(url, MODEL.name) == version
