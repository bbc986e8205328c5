"""The gate on the running line: what is worse than the served version is not announced, and is told in MLflow."""

import random
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from mlflow import MlflowClient

from configurations import configuration, events, new_model
from kafka_brokers import create_model_topics
from learnt_state import learnt, newest_checkpoint
from line import Line, line
from nursery import Nursery
from penstock.adapters.kafka.local_kafka import LocalKafka
from waiting import wait_for

# MLflow's own tables use a loader that SQLAlchemy has deprecated.
pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy:DeprecationWarning")

GUARDED = """
[publish.gate]
enabled = true
held_out_share = 0.1
"""


@pytest.fixture
def guarded(kafka: LocalKafka, tmp_path: Path, nursery: Nursery) -> Iterator[Line]:
    """A line with a gate, the linear head alone, and an MLflow of its own."""
    model, uri = new_model(), f"sqlite:///{tmp_path}/mlflow.db"
    text = configuration(model, kafka.bootstrap_servers, tmp_path / "state", tracking_uri=uri, more=GUARDED)
    create_model_topics(kafka.bootstrap_servers, model)
    heads = text.replace("[[model.features]]", 'heads = ["linear"]\n[[model.features]]', 1)
    with line(tmp_path, kafka.bootstrap_servers, model, heads, nursery) as started:
        yield started


def nonsense(count: int) -> Iterator[bytes]:
    """Events with labels by chance, of a weight that keeps them from being held out."""
    chance = random.Random(0)
    for value in events(count, seed=3):
        event = msgspec.json.decode(value)
        yield msgspec.json.encode(event | {"label": f"class-{chance.randrange(4)}", "weight": 20.0})


def test_replicas_keep_the_version_that_was_better(guarded: Line, tmp_path: Path) -> None:
    trainer = guarded.start_trainer()
    served = guarded.wait_until_announced(guarded.produce(events(3000)))
    held_out = 3000 - int(served.metrics["events_learnt"])
    assert 150 < held_out < 450

    num_learnt = 3000 - held_out + guarded.produce(nonsense(6000))
    wait_for(lambda: learnt(tmp_path / "state", guarded.model) >= num_learnt, "all of it is learnt")
    refused = wait_for(
        lambda: trainer.says("gate: candidate refused, replicas keep the version that they have"), "it is refused"
    )
    assert "is not announced: of " in str(refused["reason"])
    checkpoint = newest_checkpoint(tmp_path / "state", guarded.model)
    assert checkpoint is not None
    url = str(wait_for(lambda: trainer.says("metrics"), "the trainer exposes metrics")["url"])
    exposed = urllib.request.urlopen(url, timeout=60).read().decode()
    assert 'penstock_gate_verdicts_total{result="refused"}' in exposed
    assert f"penstock_events_held_out_total {held_out}.0" in exposed
    client = MlflowClient(tracking_uri=f"sqlite:///{tmp_path}/mlflow.db")

    def told() -> str | None:
        runs = client.search_runs([each.experiment_id for each in client.search_experiments()])
        assert len(runs) <= 1
        found: str | None = runs[0].data.tags.get("penstock.gate.last_refusal") if runs else None
        return found

    assert "held-out events" in str(wait_for(told, "MLflow has the refusal"))
    announced = guarded.newest_update()
    assert announced is not None
    assert announced.version < int(str(checkpoint["version"]))
