"""kill -9 between controls changes nothing: classes that sleep and events that are undone end as if undisturbed."""

import json
import random
from dataclasses import asdict
from functools import partial
from pathlib import Path

from confluent_kafka import Producer

from configurations import configuration, events, new_model
from learnt_state import learnt, newest_checkpoint, passed, same_end
from line import Line, line
from nursery import Nursery
from penstock.adapters.kafka.local_kafka import LocalKafka
from penstock.flow import ClassRequest, EventPlace
from penstock.wire.control import CONTROL_TYPE, encode_control
from random_kills import kill_while_learning, kill_while_starting, pace
from waiting import wait_for

KILLS = 6
CHUNKS, CHUNK = 12, 250
AT_MOST = 200
"""Messages between two kills."""
COUNT_ONLY = "max_events = 32\nmax_age_seconds = 0\ndedupe_window_events = 400"
STEPS = "inner_steps = 8"


def fill(running: Line) -> int:
    """Events with controls and retractions between them, each a function of its place; returns how many are learnt."""
    producer, values = Producer({**running.kafka, "linger.ms": 5}), list(events(CHUNKS * CHUNK, classes=6))
    num_messages, places = 0, dict[int, EventPlace]()

    def send(value: bytes, content_type: str = "application/json") -> EventPlace:
        nonlocal num_messages
        place = EventPlace(topic=running.topics.labels, partition=num_messages % 3, offset=num_messages // 3, row=0)
        producer.produce(
            running.topics.labels, value, partition=num_messages % 3, headers=[("content-type", content_type.encode())]
        )
        producer.poll(0)
        num_messages += 1
        return place

    def retract(number: int, of: EventPlace | str) -> None:
        target = of if isinstance(of, str) else asdict(of)
        event = json.loads(values[number]) | {"event_id": f"undo-{num_messages}", "retracts": target}
        send(json.dumps(event).encode())

    for chunk in range(CHUNKS):
        for number in range(chunk * CHUNK, (chunk + 1) * CHUNK):
            if chunk % 3 == 1 and b'"class-5"' in values[number]:
                continue
            places[number] = send(values[number])
        undone = [number for number in range(chunk * CHUNK, (chunk + 1) * CHUNK) if number in places][:6]
        for number in undone[:4]:
            retract(number, json.loads(values[number])["event_id"])
        for number in undone[2:]:
            retract(number, places[number])
        verb = ("hibernate", "wake", "hibernate")[chunk % 3]
        request = ClassRequest(verb=verb, classes=("class-5", f"class-{chunk % 5}"))  # type: ignore[arg-type]
        send(encode_control(request), CONTROL_TYPE)
    send(encode_control(ClassRequest(verb="retire", classes=("class-3",))), CONTROL_TYPE)
    assert producer.flush(60) == 0
    return num_messages


def has_read(directory: Path, model: str, num_messages: int) -> bool:
    found = newest_checkpoint(directory, model)
    return found is not None and sum(found["offsets"].values()) == num_messages  # type: ignore[attr-defined]


def test_classes_sleep_and_wake_the_same_however_often_the_trainer_is_killed(
    kafka: LocalKafka, nursery: Nursery, tmp_path: Path
) -> None:
    chance, model = random.Random(1), new_model()
    interrupted, uninterrupted = tmp_path / "interrupted", tmp_path / "uninterrupted"
    text = configuration(model, kafka.bootstrap_servers, interrupted, intake=COUNT_ONLY, training=STEPS)
    with line(tmp_path, kafka.bootstrap_servers, model, text, nursery) as running:
        assert running.run("topics", "create", "--partitions", "3").returncode == 0
        num_messages = fill(running)
        for number in range(KILLS):
            trainer = running.start_trainer(pace(tmp_path / "pace", runs_for=AT_MOST, step_seconds=0.1))
            if number % 3 == 2:
                kill_while_starting(trainer, chance)
            else:
                kill_while_learning(trainer, partial(passed, interrupted, model), chance, at_most=AT_MOST)
        assert learnt(interrupted, model) > 0, "the kills came too early to mean anything"
        assert not has_read(interrupted, model, num_messages), "the kills came too late to mean anything"
        last = running.start_trainer()
        wait_for(lambda: has_read(interrupted, model, num_messages), "everything is read")

        running.config.write_text(text.replace(str(interrupted), str(uninterrupted)))
        other = running.start_trainer()
        wait_for(lambda: has_read(uninterrupted, model, num_messages), "the uninterrupted run has read it all")
        assert (last.stop(), other.stop()) == (0, 0)  # the folder of packets follows the checkpoint
        assert same_end(interrupted, uninterrupted, model)
        assert packets(interrupted, model) == packets(uninterrupted, model)
        states = {entry["name"]: entry["state"] for entry in ledger(interrupted, model)}
        assert set(states.values()) == {"live", "hibernated", "retired"}
        refused = running.run("dead-letters", "list", "--json").stdout.decode()
        assert '"retracts"' in refused, "events were retracted by their other name, too"
        assert "was retracted before" in refused


def packets(directory: Path, model: str) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (directory / model / "packets").iterdir()}


def ledger(directory: Path, model: str) -> list[dict[str, str]]:
    found = newest_checkpoint(directory, model)
    assert found is not None
    entries: list[dict[str, str]] = found["state"]["class_ledger"]  # type: ignore[index]  # as checkpoints have it
    return entries
