"""Learning from scratch against the live model, on a line that goes on; and putting the winner in its place."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient

import killed_publishing
from configurations import configuration, events, new_model
from killed_publishing import STEPS
from line import Line, cpu_seconds, line, served_version
from nursery import Nursery
from penstock.adapters.disk.handover import hand_over
from penstock.adapters.kafka.local_kafka import LocalKafka
from penstock.adapters.kafka.update_log import KafkaUpdateLog
from penstock.errors import FencedError
from penstock.flow import ModelUpdate, Offsets
from penstock.processes.retrain import publishing
from penstock.processes.retrain.sources import TopicSource
from penstock.processes.retrain.teaching import Bar
from penstock.settings import load
from waiting import wait_for

LEARNING_AFTER_SECONDS = 3
"""Of its processor's time: it has read the topic and learns, for ten times as long."""
HARDLY_LEARNING = "learning_rate = 1e-12\ninner_steps = 1"


def crossed(count: int, *, seed: int = 0) -> Iterator[bytes]:
    """Events whose class is whether the first two numbers have the same sign: no class is in one place."""
    generator = np.random.default_rng(seed)
    for index, vector in enumerate(generator.normal(size=(count, 8)).round(4).tolist()):
        label = "same" if (vector[0] > 0) == (vector[1] > 0) else "other"
        yield msgspec.json.encode(
            {"event_id": f"{seed}-{index}", "features": {"x": vector, "amount": 0.0}, "label": label}
        )


@contextlib.contextmanager
def made(kafka: LocalKafka, tmp_path: Path, nursery: Nursery, tracking_uri: str | None = None) -> Iterator[Line]:
    model = new_model()
    text = configuration(model, kafka.bootstrap_servers, tmp_path / "state", tracking_uri=tracking_uri)
    with line(tmp_path, kafka.bootstrap_servers, model, text, nursery) as started:
        assert started.run("topics", "create", "--partitions", "2").returncode == 0
        yield started


@pytest.fixture
def running(kafka: LocalKafka, tmp_path: Path, nursery: Nursery) -> Iterator[Line]:
    """A line with its topics made."""
    with made(kafka, tmp_path, nursery) as started:
        yield started


@pytest.fixture
def recording(kafka: LocalKafka, tmp_path: Path, nursery: Nursery) -> Iterator[Line]:
    """The same with MLflow."""
    with made(kafka, tmp_path, nursery, f"sqlite:///{tmp_path / 'mlflow.db'}") as started:
        yield started


def configure_badly(running: Line) -> str:
    """From now on a trainer learns next to nothing; returns the good configuration."""
    good = running.config.read_text()
    bad = good.replace("learning_rate = 0.003\ninner_steps = 2", HARDLY_LEARNING)
    bad = bad.replace(f'name = "{running.model}"', f'name = "{running.model}"\nheads = ["linear"]')
    assert bad != good
    running.config.write_text(bad)
    return good


def retrain(running: Line, *arguments: str) -> dict[str, Any]:
    done = running.run("retrain", "--json", *arguments, timeout_seconds=300)
    assert done.returncode == 0, done.stderr.decode()
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def newest(running: Line) -> ModelUpdate:
    update = running.newest_update()
    assert update is not None
    return update


def test_the_table_shows_both_models_and_one_that_is_no_better_changes_nothing(running: Line) -> None:
    trainer = running.start_trainer()
    running.produce([b"not json", *events(1200)])
    live = running.wait_until_announced(1201)
    done = running.run("retrain", "--holdout", "0.3", "--publish", timeout_seconds=300)
    text = " ".join(done.stdout.decode().split())
    assert done.returncode == 0, done.stderr.decode()
    assert "learnt from scratch against live" in text
    for said in ("time", "events learnt", "accuracy on", "log-loss", "class-0", "class-3", "1 decode", "in its favour"):
        assert said in text, said
    assert "Not published: it is not right more often than the live one by more than chance." in text

    found = retrain(running, "--holdout", "0.25", "--compare-on", "100")
    assert found["held_out"] == {
        "events": 1200 - found["fresh"]["events_learnt"],
        "compared": 100,
        "live_has_learnt": 100,
    }
    assert 200 < found["held_out"]["events"] < 400
    assert (found["live"]["version"], found["live"]["events_learnt"]) == (live.version, 1200)
    assert found["live"]["accuracy"] > 0.9
    assert found["fresh"]["accuracy"] > 0.9
    assert sum(row["num_events"] for row in found["classes"]) == 100
    right = sum(row["fresh"] * row["num_events"] for row in found["classes"])
    assert right == pytest.approx(100 * found["fresh"]["accuracy"])
    assert found["differing"]["events"] >= len(found["differing"]["examples"])
    assert found["fresh_is_better"] is False
    assert found["published"] is None
    assert newest(running) == live, "neither claimed nor announced"
    assert trainer.is_running


def test_the_winner_replaces_the_live_model_and_the_trainer_goes_on_from_it(running: Line) -> None:
    good = configure_badly(running)
    trainer = running.start_trainer()
    _, url = running.start_replica()
    produced = running.produce(crossed(3000))
    live = running.wait_until_announced(produced)

    running.config.write_text(good)
    found = retrain(running, "--publish")
    assert found["fresh_is_better"], found
    assert found["differing"]["fresh_alone_right"] > found["differing"]["live_alone_right"]
    update = newest(running)
    assert found["published"]["version"] == update.version > live.version
    assert update.epoch > live.epoch
    assert update.metrics["events_learnt"] == 3000, "the events held out too"
    assert sum(update.offsets.next.values()) == produced
    wait_for(lambda: served_version(url, running.model) == update.version, "the replica serves the winner")

    produced += running.produce(crossed(500, seed=1))
    assert trainer.wait() == 1
    assert "retrain on" in trainer.last_words(), "it says who has taken over"
    again = running.start_trainer()
    restored = wait_for(lambda: again.says("restored"), "the trainer restores")
    assert (restored["events_learnt"], restored["version"]) == (3000, update.version)
    last = running.wait_until_announced(produced)
    assert last.metrics["events_learnt"] == 3500, "nothing is lost, and nothing learnt twice"
    assert last.version > update.version
    assert last.metrics["prequential_accuracy"] > live.metrics["prequential_accuracy"] + 0.1


def test_a_trainer_with_another_folder_goes_on_from_the_record_in_mlflow(recording: Line, tmp_path: Path) -> None:
    running, good = recording, configure_badly(recording)
    trainer = running.start_trainer()
    produced = running.produce(crossed(2000))
    running.wait_until_announced(produced)

    elsewhere = good.replace(f'directory = "{tmp_path / "state"}"', f'directory = "{tmp_path / "elsewhere"}"')
    assert elsewhere != good
    running.config.write_text(elsewhere)
    found = retrain(running, "--publish")
    assert found["published"]["recorded"] is True
    shutil.rmtree(tmp_path / "elsewhere")

    running.config.write_text(good)
    trainer.kill()
    again = running.start_trainer()
    restored = wait_for(lambda: again.says("restored"), "the trainer restores")
    assert restored["version"] == found["published"]["version"]
    produced += running.produce(crossed(200, seed=1))
    assert running.wait_until_announced(produced).metrics["events_learnt"] == 2200


def test_files_stand_for_what_the_live_model_has_learnt(running: Line, tmp_path: Path) -> None:
    good = configure_badly(running)
    trainer = running.start_trainer()
    history = [json.loads(value) for value in crossed(2500)]
    running.wait_until_announced(running.produce([msgspec.json.encode(row) for row in history]))
    assert trainer.stop() == 0
    running.produce(crossed(100, seed=1))
    files = []
    for number, part in enumerate((history[:1500], history[1500:])):
        files.append(tmp_path / f"part-{number}.parquet")
        columns = {
            "event_id": [row["event_id"] for row in part],
            "x": pa.array([row["features"]["x"] for row in part], pa.list_(pa.float64())),
            "amount": [row["features"]["amount"] for row in part],
            "label": [row["label"] for row in part],
        }
        pq.write_table(pa.table(columns), files[-1])
    running.config.write_text(good)
    found = retrain(running, "--publish", *[part for file in files for part in ("--parquet", str(file))])
    assert found["held_out"]["live_has_learnt"] is None
    assert found["fresh"]["events_learnt"] + found["held_out"]["events"] == 2500
    update = newest(running)
    assert update.version == found["published"]["version"]
    assert update.metrics["events_learnt"] == 2600, "the files, and what the topic holds behind the live model"
    assert sum(update.offsets.next.values()) == 2600


def test_a_class_that_only_the_live_model_has_met_is_not_forgotten_unasked(running: Line) -> None:
    running.start_trainer()
    running.produce(events(300, classes=1))
    running.wait_until_announced(300)
    ends = newest(running).offsets
    admin = AdminClient(dict(running.kafka))
    cut = [TopicPartition(running.topics.labels, partition, offset) for partition, offset in ends.next.items()]
    for outcome in admin.delete_records(cut).values():
        outcome.result(60)
    kept = [value.replace(b"class-0", b"class-9") for value in events(300, classes=1, seed=1)]
    running.wait_until_announced(300 + running.produce(kept))

    found = retrain(running, "--publish")
    assert found["gone_messages"] == 300
    assert found["forgotten_classes"] == ["class-0"]
    assert "never met 1 of the live model's classes: 'class-0'" in found["reason_against"]
    assert found["published"] is None
    forced = retrain(running, "--publish", "--anyway")
    assert forced["published"]["version"] == newest(running).version
    assert newest(running).metrics["classes"] == 1


def test_the_first_model_may_come_from_files_alone(running: Line, tmp_path: Path) -> None:
    rows = [json.loads(value) for value in events(500)]
    file = tmp_path / "history.parquet"
    columns = {
        "event_id": [row["event_id"] for row in rows],
        "features": [row["features"] for row in rows],
        "label": [row["label"] for row in rows],
    }
    pq.write_table(pa.table(columns), file)
    found = retrain(running, "--parquet", str(file), "--publish")
    assert found["live"] is None
    assert found["published"]["version"] == 1
    running.start_trainer()
    produced = running.produce(events(100, seed=1))
    assert running.wait_until_announced(produced).metrics["events_learnt"] == 600


def test_a_trainer_that_claims_meanwhile_wins_and_nothing_has_changed(
    running: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    running.produce(events(200))
    rival = KafkaUpdateLog(running.kafka, running.model)

    def hand_over_and_be_late(*arguments: Any) -> Path:
        folder = hand_over(*arguments)
        rival.claim("a trainer that starts at this very moment")
        return folder

    monkeypatch.setattr("penstock.processes.retrain.publishing.hand_over", hand_over_and_be_late)
    settings = load(running.config)
    try:
        with ExitStack() as resources, Bar() as bar, pytest.raises(FencedError, match="at this very moment"):
            publishing.publish(settings, TopicSource(settings, resources), Offsets(), bar)
    finally:
        rival.close()
    assert running.newest_update() is None
    assert not (settings.state.directory / running.model / "handover").exists()


def test_killed_in_the_middle_of_putting_it_in_place_nothing_is_lost_and_nothing_learnt_twice(running: Line) -> None:
    trainer, produced = running.start_trainer(), running.produce(events(300))
    before = running.wait_until_announced(produced)
    arguments = ["retrain", "--publish", "--anyway", "--config", str(running.config)]
    for number, step in enumerate(STEPS):
        killed = subprocess.run(
            [sys.executable, killed_publishing.__file__, step, *arguments],
            capture_output=True,
            timeout=300,
            check=False,
        )
        assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()
        produced += running.produce(events(60, seed=number + 1))
        assert trainer.wait() == 1, "it has been fenced"
        trainer = running.start_trainer()
        update = running.wait_until_announced(produced)
        assert update.metrics["events_learnt"] == produced, step
        assert (update.epoch, update.version) > (before.epoch + 1, before.version + 1), step
        took_over = trainer.says("going on from the checkpoint that was handed over") is not None
        assert took_over == (step in ("handed over", "announced")), step
        before = update
    assert trainer.stop() == 0


def test_what_cannot_be_done_is_said_in_a_sentence(running: Line) -> None:
    empty = running.run("retrain")
    assert empty.returncode == 1
    assert b"holds no labelled event that this model could learn from" in empty.stderr
    both = running.run("retrain", "--from-topic", "--parquet", str(running.config))
    assert both.returncode == 2
    assert b"not both" in both.stderr
    not_parquet = running.run("retrain", "--parquet", str(running.config))
    assert not_parquet.returncode == 1
    assert b"is not a Parquet file" in not_parquet.stderr
    assert b"Traceback" not in empty.stderr + both.stderr + not_parquet.stderr


def test_ctrl_c_ends_it_at_once_and_leaves_nothing(running: Line) -> None:
    running.config.write_text(running.config.read_text().replace("inner_steps = 2", "inner_steps = 60"))
    running.produce(events(30_000))
    process = running.start("retrain")
    wait_for(lambda: cpu_seconds(process.pid) > LEARNING_AFTER_SECONDS, "it learns")
    assert process.is_running, process.text()
    os.kill(process.pid, signal.SIGINT)
    assert process.wait() == 130, "it went on to its end"
    assert "Traceback" not in process.text()
    assert running.newest_update() is None
