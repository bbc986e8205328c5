"""Partitions added while the label topic is read in a fixed rotation: learnt from their first event, bit for bit."""

import random
import shutil
from pathlib import Path

from confluent_kafka.admin import AdminClient, NewPartitions  # type: ignore[attr-defined]  # re-exported without __all__

from configurations import configuration, events
from kafka_brokers import create_model_topics
from line import Line, Process, line
from torture.fault import Fault, Figures
from torture.workspace import Workspace
from verifying.learnt import assert_learnt_exactly, assert_same_state, newest_checkpoint
from verifying.topics import places, read_topic
from waiting import wait_for

EVENTS = 150
MORE = 300


def play(workspace: Workspace, seed: int) -> Figures:
    """Add while events flow, then kill on the way through the rest, and hold the end against a run without kills."""
    chance, model, kafka = random.Random(seed), workspace.new_model(), workspace.kafka.bootstrap_servers
    state, control = workspace.directory / "state", workspace.directory / "control"
    create_model_topics(kafka, model, label_partitions=chance.randint(1, 2))
    intake = f"max_events = {chance.randint(5, 20)}\nmax_age_seconds = 0\nidle_seconds = 0.2"
    text = configuration(model, kafka, state, intake=intake, capacity=2000)
    with line(workspace.directory, kafka, model, text, workspace.nursery) as running:
        trainer = running.start_trainer()
        running.produce(events(EVENTS, seed=seed))
        _wait_until_learnt(trainer, state, model, 1)
        added = chance.randint(3, 4)
        _grow(kafka, running.topics.labels, added)
        running.produce(events(EVENTS, seed=seed + 1, start=EVENTS))
        joined = wait_for(lambda: trainer.says("a partition was added; reading it too"), "a partition joins")
        assert joined["topic"] == running.topics.labels
        _wait_until_learnt(trainer, state, model, 2 * EVENTS)
        assert trainer.stop() == 0, trainer.text()
        shutil.copytree(state, control)

        running.produce(events(MORE, seed=seed + 2, start=2 * EVENTS))
        kills = _learn_with_kills(running, state, 2 * EVENTS + MORE, chance)
        undisturbed = running.start_trainer({"PENSTOCK_STATE__DIRECTORY": str(control)})
        _wait_until_learnt(undisturbed, control, model, 2 * EVENTS + MORE)
        assert undisturbed.stop() == 0, undisturbed.text()
        assert_learnt_exactly(state, model, places(read_topic(running.kafka, running.topics.labels)), [])
        assert_same_state(state, control, model)
    return {"kills": float(kills)}


def _grow(bootstrap_servers: str, topic: str, num_partitions: int) -> None:
    admin = AdminClient({"bootstrap.servers": bootstrap_servers})
    admin.create_partitions([NewPartitions(topic, num_partitions)])[topic].result(60)
    wait_for(
        lambda: len(admin.list_topics(topic, timeout=60).topics[topic].partitions) == num_partitions, "all are served"
    )


def _learn_with_kills(running: Line, state: Path, total: int, chance: random.Random) -> int:
    """Kill at two failpoints, then go on to the end; returns how often it was killed."""
    places_to_die = ("publication.captured", "checkpoint.renamed", "publication.saved", "publication.announced")
    for _ in range(2):
        doomed = running.start_trainer({"PENSTOCK_FAILPOINTS": f"{chance.choice(places_to_die)}=kill"})
        assert doomed.wait() == -9, doomed.text()
    last = running.start_trainer()
    _wait_until_learnt(last, state, running.model, total)
    assert last.stop() == 0, last.text()
    return 2


def _wait_until_learnt(trainer: Process, state: Path, model: str, total: int) -> None:
    def learnt() -> bool:
        assert trainer.is_running, trainer.text()
        checkpoint = newest_checkpoint(state, model)
        return checkpoint is not None and checkpoint.events_learnt >= total

    wait_for(learnt, f"a checkpoint has learnt {total} events")


PARTITIONS_ADDED = Fault(
    number=7,
    title="partitions added",
    injected="one to three partitions are added while events flow, read in a fixed rotation; later two kill -9",
    must_hold="every event of the new partitions is learnt once, from the first on (I1), and the state ends as that of "
    "a run without the kills (I2)",
    short_tries=1,
    long_tries=20,
    play=play,
)
