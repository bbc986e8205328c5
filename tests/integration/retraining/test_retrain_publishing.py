"""The winner of a retraining is put in the live model's place, whole or not at all."""

import json
import shutil
import signal
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient

import killed_publishing
from configurations import events
from killed_publishing import STEPS
from line import Line, served_version
from penstock.adapters.disk.handover import hand_over
from penstock.adapters.kafka.update_log import KafkaUpdateLog
from penstock.errors import FencedError, UnavailableError
from penstock.flow import Offsets
from penstock.processes.retrain import publishing
from penstock.processes.retrain.sources import TopicSource
from penstock.processes.retrain.teaching import Bar
from penstock.settings import load
from retraining import configure_badly, crossed, newest, retrain
from waiting import wait_for


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


def test_where_large_weights_can_be_put_nowhere_nothing_is_left_for_a_trainer_to_take_over(
    running: Line, unused_address: str
) -> None:
    running.produce(events(200))
    away = {"TRACKING_URI": f"http://{unused_address}", "TIMEOUT_SECONDS": "1", "ENABLED": "true"}
    environ = {f"PENSTOCK_MLFLOW__{key}": value for key, value in away.items()}
    settings = load(running.config, environ | {"PENSTOCK_PUBLISH__INLINE_MAX_BYTES": "100"})
    with ExitStack() as resources, Bar() as bar, pytest.raises(UnavailableError, match=unused_address):
        publishing.publish(settings, TopicSource(settings, resources), Offsets(), bar)
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
