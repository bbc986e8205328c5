"""What is away delays only what needs it: replicas serve on without Kafka, a lost disk comes back from MLflow."""

import shutil
from pathlib import Path

import pytest

from configurations import configuration, events, new_model, question
from line import Line, ask, line, served_version
from nursery import Nursery
from penstock.adapters.kafka.local_kafka import LocalKafka
from penstock.flow import ModelUpdate
from waiting import wait_for


@pytest.fixture(params=["sqlite", "server"])
def tracking_uri(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """MLflow in a database of our own, and behind a real server."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'mlflow.db'}"
    return str(request.getfixturevalue("shared_mlflow").tracking_uri)


def run_of_recorded(running: Line, tracking_uri: str, version: int) -> str | None:
    """The run of the version that the alias `live` names, None while that is another one or none."""
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

    try:
        live = MlflowClient(tracking_uri).get_model_version_by_alias(running.model, "live")
    except MlflowException:
        return None
    assert live.tags["penstock.sha256"]
    assert live.tags["penstock.offsets"]
    return str(live.run_id) if int(live.tags["penstock.version"]) == version else None


def published_in(running: Line, run: str) -> ModelUpdate:
    """The first update after the first record: its checkpoint names the run."""
    produced = 400
    while True:
        produced += running.produce(events(1, start=produced))
        update = running.wait_until_announced(produced)
        if update.mlflow_run_id == run:
            return update


def test_a_lost_disk_is_restored_from_mlflow_and_the_topic(
    kafka: LocalKafka, tmp_path: Path, tracking_uri: str, nursery: Nursery
) -> None:
    from mlflow import MlflowClient

    model = new_model()
    text = configuration(model, kafka.bootstrap_servers, tmp_path / "state", tracking_uri=tracking_uri)
    with line(tmp_path, kafka.bootstrap_servers, model, text, nursery) as running:
        assert running.run("topics", "create").returncode == 0
        trainer = running.start_trainer()
        running.produce(events(400))
        run = str(wait_for(lambda: trainer.says("MLflow run started"), "it records")["run_id"])
        first = published_in(running, run)
        learnt = sum(first.offsets.next.values())
        assert trainer.stop() == 0
        assert run_of_recorded(running, tracking_uri, first.version) == run, "the last version is recorded"
        MlflowClient(tracking_uri).delete_registered_model_alias(model, "live")  # the checkpoint alone names the run
        shutil.rmtree(tmp_path / "state" / model)

        again = running.start_trainer()
        restored = wait_for(lambda: again.says("restored"), "the trainer restores from MLflow")
        assert restored["events_learnt"] == learnt
        produced = learnt + running.produce(events(200, seed=1, start=learnt))
        second = running.wait_until_announced(produced)
        assert second.metrics["events_learnt"] == produced
        assert second.version > first.version
        assert second.mlflow_run_id == run
        assert again.stop() == 0
        assert run_of_recorded(running, tracking_uri, second.version) == run


def test_weights_too_large_to_travel_inline_reach_the_replica_by_uri(
    kafka: LocalKafka, tmp_path: Path, tracking_uri: str, nursery: Nursery
) -> None:
    model = new_model()
    text = configuration(
        model,
        kafka.bootstrap_servers,
        tmp_path / "state",
        tracking_uri=tracking_uri,
        more="[publish]\ninline_max_bytes = 100",
    )
    with line(tmp_path, kafka.bootstrap_servers, model, text, nursery) as running:
        assert running.run("topics", "create").returncode == 0
        running.start_trainer()
        _, url = running.start_replica()
        update = running.wait_until_announced(running.produce(events(300)))
        assert update.uri is not None
        wait_for(lambda: served_version(url, model) == update.version, "the replica fetched the weights")
        status, answer = ask(f"{url}/v2/models/{model}/infer", question(1, label=1))
        assert status == 200
        assert answer["parameters"]["sha256"] == update.sha256


def test_replicas_serve_on_while_kafka_is_away_and_the_line_recovers(
    kafka_libs: Path, tmp_path: Path, nursery: Nursery
) -> None:
    model = new_model()
    with LocalKafka(tmp_path / "kafka", libs=kafka_libs) as broker:
        text = configuration(model, broker.bootstrap_servers, tmp_path / "state")
        with line(tmp_path, broker.bootstrap_servers, model, text, nursery) as running:
            assert running.run("topics", "create").returncode == 0
            trainer = running.start_trainer()
            _, url = running.start_replica()
            first = running.wait_until_announced(running.produce(events(200)))
            wait_for(lambda: served_version(url, model) == first.version, "the replica serves the newest")
            broker.kill()
            for _ in range(20):
                status, answer = ask(f"{url}/v2/models/{model}/infer", question(1, label=2))
                assert (status, answer["model_version"]) == (200, str(first.version))
            assert ask(f"{url}/v2/health/ready")[0] == 200
            broker.restart()
            running.produce(events(200, seed=1))
            second = running.wait_until_announced(400)
            wait_for(lambda: served_version(url, model) == second.version, "the replica follows again")
            assert trainer.is_running
