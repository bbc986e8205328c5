"""kill -9 while labels are joined to predictions changes nothing either."""

import itertools
import random
import shutil
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
from confluent_kafka import Producer

from configurations import configuration, events, new_model
from learnt_state import learnt, passed, same_end
from line import Line, line
from nursery import Nursery
from penstock.adapters.disk.outline import newest_outline
from penstock.adapters.kafka.local_kafka import LocalKafka
from penstock.flow import JudgedAnswers
from penstock.learning.watching.judged import JudgedVersions
from penstock.wire.event_writer import json_event
from random_kills import kill_while_learning, kill_while_starting, pace
from waiting import wait_for

KILLS = 4
CHUNKS, CHUNK = 12, 500
AT_MOST = 800
"""Messages between two kills."""
UNMATCHED_EVERY = 50
HELD_CHUNKS, CHUNKS_AHEAD = 5, 8
COUNT_ONLY = "max_events = 32\nmax_age_seconds = 0\nmax_invalid_ratio = 1.0\nmax_invalid_run = 9999"
STEPS = "learning_rate = 0.003\ninner_steps = 8"
BOUNDED = f"""
[serving.prediction_log]
enabled = true
[intake.late_labels]
max_predictions = {HELD_CHUNKS * CHUNK // 2}
"""
"""Fewer than there are: what is forgotten must not depend on where a run began either."""


def test_late_labels_find_the_same_predictions_however_often_the_trainer_is_killed(
    kafka: LocalKafka, nursery: Nursery, tmp_path: Path
) -> None:
    chance, model = random.Random(0), new_model()
    interrupted, uninterrupted = tmp_path / "interrupted", tmp_path / "uninterrupted"
    text = configuration(
        model,
        kafka.bootstrap_servers,
        interrupted,
        intake=COUNT_ONLY,
        training=STEPS,
        more=BOUNDED,
    )
    with line(tmp_path, kafka.bootstrap_servers, model, text, nursery) as running:
        assert running.run("topics", "create", "--partitions", "3").returncode == 0
        num_late = fill(running, chance)
        for number in range(KILLS):
            trainer = running.start_trainer(pace(tmp_path / "pace", runs_for=AT_MOST, step_seconds=0.1))
            if number % 3 == 2:
                kill_while_starting(trainer, chance)
            else:
                kill_while_learning(trainer, partial(passed, interrupted, model), chance, at_most=AT_MOST)
        so_far = learnt(interrupted, model)
        running.start_trainer()
        num_learnt = int(running.wait_until_announced(CHUNKS * CHUNK, 120).metrics["events_learnt"])
        assert 0 < so_far < num_learnt, "the kills came too late or too early to mean anything"
        num_joined = num_learnt - (CHUNKS * CHUNK - num_late)
        assert 0.2 * num_late < num_joined < 0.9 * num_late, "some predictions are there, and some forgotten"

        shutil.copy(running.config, tmp_path / "second.toml")
        running.config.write_text(text.replace(str(interrupted), str(uninterrupted)))
        other = running.start_trainer()
        wait_for(lambda: learnt(uninterrupted, model) == num_learnt, "the uninterrupted run has learnt it all")
        other.kill()
        assert same_end(interrupted, uninterrupted, model)
        judged = judged_versions(interrupted, model)
        assert judged == judged_versions(uninterrupted, model)
        assert sum(each.events for each in judged) == sum(each.right for each in judged) == num_joined
        assert [each.version for each in judged] == [1, 2, 3, 4, 5]


def judged_versions(directory: Path, model: str) -> tuple[JudgedAnswers, ...]:
    """What the newest checkpoint says of answers, by version."""
    found = newest_outline(directory, model, tensors=("watch.judged.",), columns=())
    assert found is not None
    versions = JudgedVersions()
    versions.restore({"counts": found.tensors["watch.judged.counts"]})
    return versions.by_version()


def fill(running: Line, chance: random.Random) -> int:
    """Predictions, then their labels, chunk by chunk; the first chunks' predictions are all there before any label.

    So more of them are there than may be held. Returns how many labels name a prediction, there or not.
    """
    values, num_late = events(CHUNKS * CHUNK, classes=6), 0
    chunks = [[msgspec.json.decode(value) for value in itertools.islice(values, CHUNK)] for _ in range(CHUNKS)]
    log_predictions(running, [event for asked in chunks[:CHUNKS_AHEAD] for event in asked[::2]])
    for number, asked in enumerate(chunks):
        if number >= CHUNKS_AHEAD:
            log_predictions(running, asked[::2])
        labelled = chance.sample(asked[::2], CHUNK // 2)
        late = [event["event_id"] for event in labelled]
        late[::UNMATCHED_EVERY] = [f"nobody-asked-{number}" for number in range(len(late[::UNMATCHED_EVERY]))]
        labels = [
            json_event(event_id="late", prediction_id=named, label=event["label"])
            for named, event in zip(late, labelled, strict=True)
        ]
        labels += [msgspec.json.encode(event) for event in asked[1::2]]
        chance.shuffle(labels)
        running.produce(labels)
        num_late += len(late)
    return num_late


def log_predictions(running: Line, asked: list[dict[str, Any]]) -> None:
    producer = Producer({**running.kafka, "linger.ms": 5})
    for number, event in enumerate(asked):
        value = msgspec.json.encode(
            {"features": event["features"], "model_version": 1 + number % 5, "label": event["label"]}
        )
        producer.produce(running.topics.predictions, value, key=event["event_id"])
    assert producer.flush(60) == 0
