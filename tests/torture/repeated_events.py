"""Row 13: a producer that delivers twice, and a trainer that is killed in between."""

import random
import re
import urllib.request
from collections.abc import Sequence

import msgspec
from confluent_kafka import Producer

from configurations import configuration, events
from kafka_brokers import create_model_topics
from line import Process, line
from penstock.adapters.kafka.topic_ends import read_ends
from torture.fault import Fault, Figures
from torture.workspace import Workspace
from verifying.learnt import assert_same_state, newest_checkpoint
from verifying.topics import read_topic
from waiting import wait_for

WINDOW = 200
PARTITIONS = 3
INTAKE = f"max_events = 32\nmax_age_seconds = 0\nidle_seconds = 0.3\ndedupe_window_events = {WINDOW}"


def play(workspace: Workspace, seed: int) -> Figures:
    """Events with repeats near and far; one run undisturbed, one killed every so often: both end in the same state."""
    chance = random.Random(seed)
    model, servers = workspace.new_model(), workspace.kafka.bootstrap_servers
    count, kills = (6000, 6) if workspace.is_long else (900, 1)
    create_model_topics(servers, model, PARTITIONS)
    log = _with_repeats(list(events(count, seed=seed)), chance)
    _produce(servers, f"{model}.labels", log)
    states = [workspace.directory / name for name in ("whole", "killed")]
    for state, num_kills in zip(states, (0, kills), strict=True):
        text = configuration(model, servers, state, intake=INTAKE, capacity=20_000)
        with line(workspace.directory, servers, model, text, workspace.nursery) as running:
            ends = read_ends(running.kafka, running.topics.labels).next
            for number in range(num_kills):
                trainer = running.start_trainer()
                wanted = len(log) * (number + 1) // (num_kills + 2)
                wait_for(lambda: _read(state, model) >= wanted, "it gets that far", every_seconds=0.005)  # noqa: B023 - called here
                trainer.kill()
            trainer = running.start_trainer()
            wait_for(lambda: _read(state, model) >= sum(ends.values()), "it gets to the end", every_seconds=0.02)  # noqa: B023
            passed_over = _counted(trainer, "passed_over")
            assert trainer.stop() == 0, trainer.text()
    assert_same_state(states[0], states[1], model)
    checkpoint = newest_checkpoint(states[0], model)
    assert checkpoint is not None
    distinct = {msgspec.json.decode(message.value())["event_id"] for message in read_topic(
        {"bootstrap.servers": servers}, f"{model}.labels"
    )}  # fmt: skip
    assert checkpoint.events_learnt < len(log), "no repeat was passed over"
    assert checkpoint.events_learnt >= len(distinct), "an event was passed over that had not been learnt"
    return {
        "messages": float(len(log)),
        "events learnt": float(checkpoint.events_learnt),
        "repeats learnt again, beyond the window": float(checkpoint.events_learnt - len(distinct)),
        "passed over since the last start": passed_over,
    }


def _with_repeats(log: Sequence[bytes], chance: random.Random) -> list[bytes]:
    """A tenth of the events comes twice: most at once or soon, some when the window has moved on."""
    sent: list[bytes] = []
    late: dict[int, list[bytes]] = {}
    for number, value in enumerate(log):
        sent.append(value)
        if chance.random() < 0.1:
            after = chance.choice((0, 3, 20, 8 * WINDOW // 10, 3 * WINDOW))
            late.setdefault(number + after, []).append(value)
        sent += late.pop(number, [])
    return sent


def _produce(servers: str, topic: str, values: Sequence[bytes]) -> None:
    producer = Producer({"bootstrap.servers": servers, "linger.ms": 5})
    for number, value in enumerate(values):
        producer.produce(topic, value, partition=number % PARTITIONS)
        producer.poll(0)
    assert producer.flush(60) == 0


def _read(state: object, model: str) -> int:
    checkpoint = newest_checkpoint(state, model)  # type: ignore[arg-type]  # a path
    return 0 if checkpoint is None else sum(checkpoint.offsets.next.values())


def _counted(trainer: Process, outcome: str) -> float:
    metrics = trainer.says("metrics")
    assert metrics is not None
    pattern = rf'^penstock_events_repeated_total{{outcome="{outcome}"}} (\S+)$'
    with urllib.request.urlopen(str(metrics["url"]), timeout=60) as answer:
        found = re.search(pattern, answer.read().decode(), re.MULTILINE)
    return float(found[1]) if found else 0.0


REPEATED_EVENTS = Fault(
    number=13,
    title="events delivered twice",
    injected="a tenth of the events is produced twice, soon or after the window; the trainer is killed in between",
    must_hold="a repeat within the window is not learnt, one beyond it is learnt and counted, nothing else is passed "
    "over, and the killed run ends in the same state, bit for bit, as the undisturbed one",
    short_tries=1,
    long_tries=10,
    play=play,
)
