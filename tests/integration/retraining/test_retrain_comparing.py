"""Learning from scratch against the live model, on a line that goes on."""

import json
import os
import signal
from pathlib import Path

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from configurations import events
from line import Line, cpu_seconds
from retraining import configure_badly, crossed, newest, retrain
from waiting import wait_for

LEARNING_AFTER_SECONDS = 3
"""Of its processor's time: it has read the topic and learns, for ten times as long."""


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


def test_what_cannot_be_done_is_said_in_a_sentence(running: Line) -> None:
    empty = running.run("retrain")
    assert empty.returncode == 1
    assert b"holds no labelled event that this model could learn from" in empty.stderr
    running.produce(events(1))
    held_out = running.run("retrain", "--holdout", "0.9")
    assert held_out.returncode == 1
    assert b"holds too few events: 1 labelled event, and all is held out to compare on." in held_out.stderr
    assert b"or a smaller --holdout than 0.9." in held_out.stderr
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
