"""`penstock report`: a page from what is there, beside a trainer at work or without any, or a sentence."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from mlflow import MlflowClient

from configurations import configuration, events, new_model
from drifting_model import captured, learnt, plane_learner, saved
from kafka_brokers import create_model_topics
from line import Line, line
from nursery import Nursery
from penstock.adapters.kafka.local_kafka import LocalKafka
from penstock.adapters.mlflow.config import MlflowConfig
from penstock.adapters.mlflow.record import MlflowRecord
from penstock.flow import ModelUpdate
from penstock.trainer.candidate import AnnouncedCandidate
from penstock.trainer.scores import scores, standing

# MLflow's own tables use a loader that SQLAlchemy has deprecated.
pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy:DeprecationWarning")


def write_configuration(folder: Path, tracking_uri: str, *, enabled: bool = True) -> Path:
    path = folder / "penstock.toml"
    path.write_text(
        f"""
[model]
name = "plane"
heads = ["linear"]
[[model.features]]
name = "point"
kind = "vector"
width = 2
[kafka]
"bootstrap.servers" = "127.0.0.1:9"
[mlflow]
tracking_uri = "{tracking_uri}"
timeout_seconds = 1
enabled = {str(enabled).lower()}
[state]
directory = "{folder / "state"}"
"""
    )
    return path


def report(nursery: Nursery, configuration: Path, output: Path) -> "subprocess.CompletedProcess[bytes]":
    told = ["report", "--config", str(configuration), "--output", str(output)]
    return nursery.run(told, timeout_seconds=60)


def test_a_place_that_cannot_be_written_to_is_named(nursery: Nursery, tmp_path: Path) -> None:
    learner = plane_learner()
    learnt(learner, calm=20, swapped=10)
    saved(learner, tmp_path / "state", version=12)
    path = write_configuration(tmp_path, f"sqlite:///{tmp_path}/mlflow.db", enabled=False)
    ended = report(nursery, path, tmp_path / "not there" / "page.html")
    assert ended.returncode != 0
    assert b"page.html: No such file or directory." in ended.stderr
    assert b"Traceback" not in ended.stderr


def test_from_the_newest_checkpoint_of_this_machine(nursery: Nursery, tmp_path: Path) -> None:
    learner = plane_learner()
    learnt(learner, calm=60, swapped=10)
    saved(learner, tmp_path / "state", version=12)
    path = write_configuration(tmp_path, f"sqlite:///{tmp_path}/mlflow.db", enabled=False)
    ended = report(nursery, path, tmp_path / "page.html")
    assert (ended.returncode, ended.stderr) == (0, b"")
    assert ended.stdout.decode() == f"{tmp_path}/page.html: model plane, version 12, 2,240 events.\n"
    page = (tmp_path / "page.html").read_text()
    assert f"Made from the checkpoint of step 70 in {tmp_path}/state/plane/checkpoints." in page
    assert "▼1" in page


def test_where_there_is_nothing_it_says_so_in_a_sentence(nursery: Nursery, tmp_path: Path) -> None:
    path = write_configuration(tmp_path, f"sqlite:///{tmp_path}/mlflow.db")
    ended = report(nursery, path, tmp_path / "page.html")
    assert ended.returncode == 1
    assert ended.stderr.decode() == (
        f"penstock: There is nothing to report on. There is no checkpoint in {tmp_path}/state/plane/checkpoints."
        f" MLflow at sqlite:///{tmp_path}/mlflow.db has no record of this model.\n"
    )
    assert not (tmp_path / "page.html").exists()


def test_without_mlflow_the_page_is_there_and_says_what_it_lacks(nursery: Nursery, tmp_path: Path) -> None:
    learner = plane_learner()
    learnt(learner, calm=5, swapped=0)
    saved(learner, tmp_path / "state")
    ended = report(nursery, write_configuration(tmp_path, "http://127.0.0.1:9"), tmp_path / "page.html")
    assert ended.returncode == 0
    assert (
        "Versions on record are left out: MLflow at http://127.0.0.1:9 failed" in (tmp_path / "page.html").read_text()
    )


def test_without_checkpoints_it_is_made_from_what_mlflow_has_on_record(nursery: Nursery, tmp_path: Path) -> None:
    uri, learner = f"sqlite:///{tmp_path}/mlflow.db", plane_learner()
    record = MlflowRecord(MlflowConfig(tracking_uri=uri), "plane")
    reports = learnt(learner, calm=60, swapped=20)
    checkpoint, weights = captured(learner, version=21)
    update = ModelUpdate(
        model="plane",
        version=21,
        epoch=1,
        sha256=weights.sha256,
        size_bytes=weights.size_bytes,
        class_ledger_digest=weights.class_ledger_digest,
        trained_until_ms=checkpoint.trained_until_ms,
        announced_at_ms=1_778_312_000_000,
        offsets=checkpoint.offsets,
        metrics=scores(learner, reports[-1]),
        inline=weights.content,
    )
    record.record(
        AnnouncedCandidate(
            update=update,
            weights=weights,
            checkpoint_folder=saved(learner, tmp_path / "elsewhere", version=21),
            class_names=learner.class_names,
            metrics={**update.metrics, **standing(learner)},
            drift=learner.watch.alarms.newest,
        ),
        {**update.metrics, **standing(learner)},
    )
    record.close()
    ended = report(nursery, write_configuration(tmp_path, uri), tmp_path / "page.html")
    assert (ended.returncode, ended.stderr) == (0, b"")
    page = (tmp_path / "page.html").read_text()
    assert f"Made from the checkpoint of version 21 in MLflow at {uri}." in page
    assert "Versions on record" in page
    assert "2026-05-09 07:33:20 UTC" in page
    assert f"{scores(learner, reports[-1])['prequential_accuracy']:.3f}" in page


@pytest.fixture
def recording(kafka: LocalKafka, tmp_path: Path, nursery: Nursery) -> Iterator[Line]:
    """A line with its topics and an MLflow of its own."""
    model = new_model()
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    text = configuration(model, kafka.bootstrap_servers, tmp_path / "state", tracking_uri=uri)
    create_model_topics(kafka.bootstrap_servers, model)
    with line(tmp_path, kafka.bootstrap_servers, model, text, nursery) as started:
        yield started


def test_beside_a_trainer_at_work_and_kept_with_its_run(recording: Line, tmp_path: Path) -> None:
    trainer = recording.start_trainer()
    recording.produce(events(600))
    recording.wait_until_announced(600)
    output = tmp_path / "beside.html"
    assert recording.run("report", "--output", str(output)).returncode == 0
    assert "Accuracy over time" in output.read_text()
    assert trainer.is_running
    assert trainer.stop() == 0
    client = MlflowClient(tracking_uri=f"sqlite:///{tmp_path}/mlflow.db")
    (version,) = client.search_model_versions(
        f"name='{recording.model}'", max_results=1, order_by=["version_number DESC"]
    )
    run = client.get_run(str(version.run_id))
    kept = Path(client.download_artifacts(run.info.run_id, "report.html", str(tmp_path)))
    assert "600 events" in kept.read_text()
    assert {
        "loss",
        "prequential_accuracy",
        "events_learnt",
        "lag_events",
        "prequential_kappa",
        "prequential_kappa_temporal",
        "weight/linear",
        "recall/class-0",
    } <= run.data.metrics.keys()
    assert {"previous_version/accuracy", "forgotten/class-1", "drift_alarms"} <= run.data.metrics.keys()
