"""The line, all of it running: a label on a real Kafka becomes a served prediction."""

import json
import re
import socket
import urllib.request
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import cast

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from confluent_kafka import Consumer, Message, TopicPartition

from configurations import configuration, events, new_model, question
from line import Line, ask, line, served_version
from penstock.adapters.kafka.local_kafka import LocalKafka
from penstock.clock import from_rfc3339
from waiting import wait_for


@pytest.fixture
def running(kafka: LocalKafka, tmp_path: Path) -> Iterator[Line]:
    """A line with its topics made."""
    model = new_model()
    text = configuration(model, kafka.bootstrap_servers, tmp_path / "state")
    with line(tmp_path, kafka.bootstrap_servers, model, text) as started:
        made = started.run("topics", "create", "--partitions", "3")
        assert made.returncode == 0, made.stdout
        assert [line[:4] for line in made.stdout.splitlines()] == [b"ok  "] * 3, made.stdout
        yield started


def test_a_label_becomes_a_prediction_and_every_answer_names_its_weights(running: Line) -> None:
    running.start_trainer()
    replicas = [running.start_replica()[1] for _ in range(2)]
    for url in replicas:
        assert ask(f"{url}/v2/health/live")[0] == 200
        assert ask(f"{url}/v2/health/ready")[0] == 503
        status, answer = ask(f"{url}/v2/models/{running.model}/infer", question(1, label=0))
        assert (status, list(answer)) == (503, ["error"])

    produced = running.produce(events(2000))
    update = running.wait_until_announced(produced)
    for url in replicas:
        wait_for(partial(serves, url, running.model, update.version), f"{url} serves the newest")
        for label in range(4):
            status, answer = ask(f"{url}/v2/models/{running.model}/infer", question(3, label=label))
            assert status == 200, answer
            outputs = {output["name"]: output for output in answer["outputs"]}
            assert outputs["label"]["data"] == [f"class-{label}"] * 3
            assert all(probability > 0.5 for probability in outputs["probability"]["data"])
            assert answer["id"] == "q-1"
            assert answer["model_version"] == str(update.version)
            assert answer["parameters"]["sha256"] == update.sha256
            assert from_rfc3339(answer["parameters"]["trained_until"]) == update.trained_until_ms


def serves(url: str, model: str, version: int) -> bool:
    return served_version(url, model) == version


def test_probabilities_come_on_request_with_a_class_that_appeared_in_the_middle(running: Line) -> None:
    running.start_trainer()
    _, url = running.start_replica()
    running.wait_until_announced(running.produce(events(300, classes=4)))
    new_class = [value.replace(b'"class-0"', b'"surprise"') for value in events(40, classes=1)]
    update = running.wait_until_announced(300 + running.produce(new_class))
    wait_for(lambda: served_version(url, running.model) == update.version, "the replica serves the newest")
    body = question(2, label=0) | {"outputs": [{"name": "probabilities"}]}
    status, answer = ask(f"{url}/v2/models/{running.model}/infer", body)
    assert status == 200, answer
    (output,) = answer["outputs"]
    assert output["name"] == "probabilities"
    assert output["shape"] == [2, 5]


def test_poison_loses_only_itself_and_is_kept_with_its_reason(running: Line, kafka: LocalKafka) -> None:
    running.start_trainer()
    good = list(events(60))
    poison = [
        b"not json",
        good[0] + b"\n" + good[1],
        b"",
        b'{"event_id": "n", "features": {"x": [1, 2], "amount": 1}, "label": "a"}',
        b'{"event_id": "n", "features": {"x": [1,2,3,4,5,6,7,8], "amount": NaN}, "label": "a"}',
        b'{"event_id": "n", "features": {"x": [1,2,3,4,5,6,7,8]}, "label": "a"}',
        b'{"event_id": "n", "features": {"x": [1,2,3,4,5,6,7,8], "amount": 1}, "label": ""}',
        b'{"event_id": "n", "features": {"x": [1,2,3,4,5,6,7,8], "amount": 1}, "label": "a", "weight": 0}',
        b'{"event_id": "n", "features": {"x": [1,2,3,4,5,6,7,8], "amount": 1}, "label": "' + b"a" * 257 + b'"}',
        b'{"event_id": "n", "label": "a", "padding": "' + b"x" * 900_000 + b'"}',
    ]
    mixed = good[:30] + [part for pair in zip(poison, good[30:40], strict=True) for part in pair] + good[40:]
    produced = running.produce(mixed)
    update = running.wait_until_announced(produced)
    assert update.metrics["events_learnt"] == len(good)

    letters = read_all(kafka.bootstrap_servers, running.topics.dead_letters, len(poison))
    assert sorted(letter.value() or b"" for letter in letters) == sorted(poison)
    for letter in letters:
        headers = dict(cast("list[tuple[str, bytes]]", letter.headers()))
        assert headers["__connect.errors.topic"] == running.topics.labels.encode()
        assert headers["__connect.errors.exception.message"]
        assert {"__connect.errors.partition", "__connect.errors.offset", "__connect.errors.stage"} <= set(headers)


def read_all(bootstrap_servers: str, topic: str, count: int) -> list[Message]:
    consumer = Consumer({"bootstrap.servers": bootstrap_servers, "group.id": "reader", "enable.auto.commit": False})
    try:
        partitions = consumer.list_topics(topic, timeout=60).topics[topic].partitions
        consumer.assign([TopicPartition(topic, partition, 0) for partition in partitions])
        found: list[Message] = []

        def complete() -> bool:
            found.extend(consumer.consume(100, 0.2))
            return len(found) >= count

        wait_for(complete, f"{count} messages")
        return found
    finally:
        consumer.close()


def test_files_are_produced_with_delivery_confirmed_and_learnt(running: Line, tmp_path: Path) -> None:
    jsonl = tmp_path / "events.jsonl"
    jsonl.write_bytes(b"\n".join(events(100)) + b"\n")
    rows = [json.loads(value) for value in events(700, seed=1)]
    parquet = tmp_path / "events.parquet"
    pq.write_table(
        pa.table(
            {
                "event_id": [row["event_id"] for row in rows],
                "x": pa.array([row["features"]["x"] for row in rows], pa.list_(pa.float64())),
                "amount": [row["features"]["amount"] for row in rows],
                "label": [row["label"] for row in rows],
            }
        ),
        parquet,
    )
    for arguments, stdin, count in (
        ([str(jsonl)], None, 100),
        ([str(parquet)], None, 700),
        (["-"], b"\n".join(events(50, seed=2)), 50),
    ):
        done = running.run("produce", *arguments, stdin=stdin)
        assert done.returncode == 0, done.stderr
        assert f"{count} of {count} events delivered".encode() in done.stdout
    running.start_trainer()
    messages = 100 + 3 + 50
    assert running.wait_until_announced(messages).metrics["events_learnt"] == 850


def test_status_and_doctor_tell_an_operator_how_it_is(running: Line) -> None:
    silent = running.run("status")
    assert silent.returncode == 1
    assert b"none announced yet" in silent.stdout
    trainer = running.start_trainer()
    _, url = running.start_replica()
    update = running.wait_until_announced(running.produce(events(500)))
    wait_for(lambda: served_version(url, running.model) == update.version, "the replica serves the newest")

    status = running.run("status", "--replica", url, "--replica", "http://127.0.0.1:9", "--json")
    assert status.returncode == 0, status.stderr
    said = json.loads(status.stdout)
    assert said["version"] == update.version
    assert said["lag_events"] == 0
    assert said["metrics"]["events_learnt"] == 500
    assert 0 < said["metrics"]["prequential_accuracy"] <= 1
    assert said["replicas"][url] == f"version {update.version}"
    assert "does not answer" in said["replicas"]["http://127.0.0.1:9"]

    doctor = running.run("doctor")
    assert doctor.returncode == 0, doctor.stdout
    assert [line[:4] for line in doctor.stdout.splitlines()] == [b"ok  "] * 8, doctor.stdout

    metrics_url = str(wait_for(lambda: trainer.says("metrics"), "the trainer exposes metrics")["url"])
    exposed = urllib.request.urlopen(metrics_url, timeout=60).read().decode()
    assert re.search(r"^penstock_events_learnt_total 500\.0$", exposed, re.MULTILINE)
    assert re.search(r"^penstock_reservoir_capacity_rows 500\.0$", exposed, re.MULTILINE)
    wait_for(
        lambda: (
            'penstock_consumer_lag_events{partition="0"} 0.0'
            in urllib.request.urlopen(metrics_url, timeout=60).read().decode()
        ),
        "no lag",
    )

    assert trainer.stop() == 0
    running.produce(events(30, seed=3))
    behind = running.run("status", "--replica", url)
    assert behind.returncode == 0, behind.stderr
    assert re.search(r"^lag +30 messages behind", behind.stdout.decode(), re.MULTILINE)


def test_processes_listen_on_loopback_alone_and_end_cleanly_on_sigterm(running: Line) -> None:
    trainer = running.start_trainer()
    replica, url = running.start_replica()
    running.wait_until_announced(running.produce(events(200)))
    for address in (url, str(wait_for(lambda: trainer.says("metrics"), "the trainer exposes metrics")["url"])):
        port = int(re.findall(r"127\.0\.0\.1:(\d+)", address)[0])
        socket.create_connection(("127.0.0.1", port), timeout=60).close()
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.2", port), timeout=60)
    assert trainer.stop() == 0
    assert replica.stop() == 0
    assert "Traceback" not in trainer.text() + replica.text()
