"""Late labels on the line, all of it running: asked first, labelled later by nothing but the prediction's id."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from confluent_kafka import Consumer, TopicPartition

from configurations import configuration, events, new_model, question
from line import Line, ask, line, served_version
from nursery import Nursery
from penstock.adapters.kafka.local_kafka import LocalKafka
from penstock.wire.event_writer import json_event
from waiting import wait_for

LOGGED = "[serving.prediction_log]\nenabled = true"


@pytest.fixture
def running(kafka: LocalKafka, tmp_path: Path, nursery: Nursery) -> Iterator[Line]:
    """A line that logs predictions, with its topics made, a trainer, and a replica that serves."""
    model = new_model()
    text = configuration(model, kafka.bootstrap_servers, tmp_path / "state", more=LOGGED)
    with line(tmp_path, kafka.bootstrap_servers, model, text, nursery) as started:
        made = started.run("topics", "create", "--partitions", "2")
        assert made.returncode == 0, made.stdout
        assert f"Created: {model}.predictions" in made.stdout.decode()
        yield started


def start(running: Line, num_events: int = 400) -> str:
    """A trainer that has learnt some events, and a replica that serves them: its address."""
    running.start_trainer()
    _, url = running.start_replica()
    update = running.wait_until_announced(running.produce(events(num_events)))
    wait_for(lambda: served_version(url, running.model) >= update.version, "the replica serves")
    return url


def strange(seed: int) -> dict[str, Any]:
    """A question about something that no class is like."""
    body = question(1, label=0)
    centre = np.random.default_rng(5).normal(size=8) * 6
    body["inputs"][0]["data"] = (centre + np.random.default_rng(seed).normal(size=8) * 0.3).tolist()  # type: ignore[index]  # a list of inputs
    del body["id"]
    return body


def answer_to(url: str, model: str, body: dict[str, Any]) -> dict[str, Any]:
    status, answer = ask(f"{url}/v2/models/{model}/infer", body)
    assert status == 200, answer
    return answer


def label_of(answer: dict[str, Any]) -> str:
    return str(next(output["data"][0] for output in answer["outputs"] if output["name"] == "label"))


def late(number: int, prediction_id: str, label: str) -> bytes:
    return json_event(event_id=f"late-{number}", prediction_id=prediction_id, label=label)


def test_what_was_asked_is_learnt_from_a_label_that_names_only_the_prediction(running: Line) -> None:
    url = start(running)
    answers = [answer_to(url, running.model, strange(seed)) for seed in range(60)]
    ids = [answer["parameters"]["prediction_id"] for answer in answers]
    wait_until_logged(url, 60)
    assert len(set(ids)) == 60
    assert "surprise" not in {label_of(answer) for answer in answers}

    update = running.wait_until_announced(400 + running.produce(late(n, id_, "surprise") for n, id_ in enumerate(ids)))
    assert update.metrics["events_learnt"] == 460
    wait_for(lambda: served_version(url, running.model) >= update.version, "the replica serves what was learnt")
    assert label_of(answer_to(url, running.model, strange(1000))) == "surprise"
    assert label_of(answer_to(url, running.model, question(1, label=2))) == "class-2"
    asked_of = {int(answer["model_version"]) for answer in answers}
    assert update.metrics["answers/events"] == 60
    assert update.metrics["answers/accuracy"] == 0
    assert {update.metrics["answers/oldest_version"], update.metrics["answers/newest_version"]} <= asked_of
    status = running.run("status", "--replica", url).stdout.decode()
    assert "0.000 right of 60 that late labels have judged, of version" in status
    assert re.search(r"^version [0-9]+ +[01][.][0-9]{3} over [0-9]+ events that came while it was", status, re.M)


def test_rows_of_one_request_are_named_one_by_one_under_the_id_the_caller_gave(running: Line) -> None:
    url = start(running)
    answer = answer_to(url, running.model, question(3, label=1))
    assert answer["id"] == answer["parameters"]["prediction_id"] == "q-1"
    wait_until_logged(url, 3)
    update = running.wait_until_announced(400 + running.produce(late(row, f"q-1#{row}", "class-1") for row in range(3)))
    assert update.metrics["events_learnt"] == 403
    (record,) = [record for record in predictions(running) if record["prediction_id"] == "q-1#2"]
    assert record["label"] == "class-1"
    assert record["features"]["amount"] == 1.0
    assert record["model_version"] == int(answer["model_version"])


def test_a_label_without_its_prediction_is_a_dead_letter_and_can_be_sent_again(running: Line) -> None:
    url = start(running)
    values = [late(0, "nobody-asked-this", "class-1"), *events(50, seed=1)]
    assert running.wait_until_announced(400 + running.produce(values)).metrics["events_learnt"] == 450
    listed = running.run("dead-letters", "list", "--json")
    (letter,) = [json.loads(text) for text in listed.stdout.splitlines()]
    assert letter["reason"] == "unmatched"
    assert "'nobody-asked-this' names no prediction logged in the 3600 s before the label" in letter["sentence"]

    answer_to(url, running.model, strange(1) | {"id": "nobody-asked-this"})
    wait_until_logged(url, 1)
    assert running.run("dead-letters", "replay", "--reason", "unmatched").returncode == 0
    assert running.wait_until_announced(400 + 51 + 1).metrics["events_learnt"] == 451


def test_doctor_and_metrics_tell_of_predictions(running: Line) -> None:
    url = start(running)
    doctor = running.run("doctor")
    assert doctor.returncode == 0, doctor.stdout
    assert f"topic {running.model}.predictions" in doctor.stdout.decode()
    answer_to(url, running.model, question(5, label=1))
    wait_until_logged(url, 5)
    assert 'penstock_predictions_dropped_total{reason="queue"}' not in metrics(url)


def wait_until_logged(url: str, count: int) -> None:
    """Until the broker has so many predictions: a label that overtakes them is not waited with for long."""
    wait_for(lambda: f"penstock_predictions_logged_total {count}.0" in metrics(url), "the rows are logged")


def metrics(url: str) -> str:
    import urllib.request

    return str(urllib.request.urlopen(f"{url}/metrics", timeout=60).read().decode())


def predictions(running: Line) -> list[dict[str, Any]]:
    """Everything on the prediction topic."""
    consumer = Consumer({**running.kafka, "group.id": "reader", "enable.partition.eof": True})
    try:
        consumer.assign([TopicPartition(running.topics.predictions, partition, 0) for partition in range(2)])
        found, ended = [], 0
        while ended < 2:
            message = consumer.poll(60)
            assert message is not None
            if message.error() is not None:
                ended += 1
            else:
                found.append(json.loads(message.value() or b""))
        return found
    finally:
        consumer.close()
