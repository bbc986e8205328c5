"""kill -9 while labels are joined to predictions changes nothing either."""

import random
import shutil
from pathlib import Path

import msgspec
from confluent_kafka import Producer

from configurations import configuration, events, new_model
from learnt_state import kill_at_a_random_moment, learnt, same_end
from line import line
from penstock.adapters.kafka.local_kafka import LocalKafka
from penstock.adapters.kafka.topic_names import TopicNames
from penstock.wire.event_writer import json_event
from waiting import wait_for

KILLS = 6
EVENTS, LATE_EVERY, UNMATCHED_EVERY = 30_000, 3, 50
COUNT_ONLY = "max_events = 32\nmax_age_seconds = 0"
SLOW_ENOUGH_TO_BE_KILLED = "learning_rate = 0.003\ninner_steps = 48"
BOUNDED = """
[serving.prediction_log]
enabled = true
[intake.late_labels]
max_predictions = 9000
"""
"""Fewer than there are: what is forgotten must not depend on where a run began either."""


def test_late_labels_find_the_same_predictions_however_often_the_trainer_is_killed(
    kafka: LocalKafka, tmp_path: Path
) -> None:
    chance, model = random.Random(0), new_model()
    interrupted, uninterrupted = tmp_path / "interrupted", tmp_path / "uninterrupted"
    text = configuration(
        model,
        kafka.bootstrap_servers,
        interrupted,
        intake=COUNT_ONLY,
        training=SLOW_ENOUGH_TO_BE_KILLED,
        more=BOUNDED,
    )
    with line(tmp_path, kafka.bootstrap_servers, model, text) as running:
        assert running.run("topics", "create", "--partitions", "3").returncode == 0
        predictions, labels = split(list(events(EVENTS, classes=6)))
        log_predictions(kafka.bootstrap_servers, TopicNames(model).predictions, predictions)
        running.produce(labels)
        for number in range(KILLS):
            trainer = running.start_trainer()
            kill_at_a_random_moment(trainer, interrupted, model, chance, while_starting=number % 3 == 2)
        so_far = learnt(interrupted, model)
        running.start_trainer()
        last = running.wait_until_announced(len(labels), 120)
        learnt_events = int(last.metrics["events_learnt"])
        assert 0 < so_far < learnt_events, "the kills came too late or too early to mean anything"
        late = sum(b"prediction_id" in value for value in labels)
        assert EVENTS - late < learnt_events < EVENTS - EVENTS // UNMATCHED_EVERY, "some late labels were joined"

        shutil.copy(running.config, tmp_path / "second.toml")
        running.config.write_text(text.replace(str(interrupted), str(uninterrupted)))
        other = running.start_trainer()
        wait_for(lambda: learnt(uninterrupted, model) == learnt_events, "the uninterrupted run has learnt it all", 120)
        other.kill()
        assert same_end(interrupted, uninterrupted, model)


def split(values: list[bytes]) -> tuple[dict[str, bytes], list[bytes]]:
    """Some events become a prediction and a label that names it, and a few a label that names none."""
    predictions: dict[str, bytes] = {}
    labels = []
    for number, value in enumerate(values):
        event = msgspec.json.decode(value)
        if number % LATE_EVERY == 0:
            predictions[event["event_id"]] = msgspec.json.encode({"features": event["features"]})
            value = json_event(event_id="late", prediction_id=event["event_id"], label=event["label"])
        if number % UNMATCHED_EVERY == 0:
            value = json_event(event_id="late", prediction_id=f"nothing-{number}", label=event["label"])
        labels.append(value)
    return predictions, labels


def log_predictions(bootstrap_servers: str, topic: str, predictions: dict[str, bytes]) -> None:
    producer = Producer({"bootstrap.servers": bootstrap_servers, "linger.ms": 5})
    for prediction_id, value in predictions.items():
        producer.produce(topic, value, key=prediction_id)
        producer.poll(0)
    assert producer.flush(30) == 0
