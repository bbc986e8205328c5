"""A broker that dies while a dead letter waits: what was fetched is learnt, and no checkpoint passes the letter."""

from pathlib import Path

from configurations import configuration, events
from kafka_brokers import create_model_topics, take_messages_up_to
from line import line
from penstock.adapters.kafka.local_kafka import LocalKafka
from scraped import metrics_url, scraped
from torture.workspace import Workspace
from verifying.learnt import assert_learnt_exactly, newest_checkpoint
from verifying.letters import assert_dead_lettered_exactly
from verifying.topics import places, read_topic
from waiting import wait_for

BEFORE, BEHIND = 64, 3000
SLOW = "learning_rate = 0.001\ninner_steps = 24"
"""So that much of what has been fetched is still to be learnt when the broker dies."""
POISON = b"poison"
NO_LETTER_BYTES, LETTER_BYTES = 100, 1 << 20


def killed_while_a_letter_waits(workspace: Workspace, broker: LocalKafka, servers: str, seed: int) -> float:
    """On a broker that all reach by `servers`; returns how many events were learnt while there was none."""
    model, folder = workspace.new_model(), workspace.directory / "letters"
    state = folder / "state"
    text = configuration(model, servers, state, training=SLOW, capacity=8 * (BEFORE + BEHIND))
    with line(folder, servers, model, text, workspace.nursery) as running:
        create_model_topics(servers, model, 1)
        take_messages_up_to(NO_LETTER_BYTES, servers, running.topics.dead_letters)
        trainer = running.start_trainer()
        url = metrics_url(trainer)
        good = list(events(BEFORE + BEHIND, seed=seed))
        running.produce([*good[:BEFORE], POISON, *good[BEFORE:]])
        wait_for(lambda: _learnt(url) > 2 * BEFORE, "it learns on behind the poison", every_seconds=0.01)
        broker.kill()
        when_killed = _learnt(url)
        wait_for(lambda: _learnt(url) > when_killed, "it learns on without a broker", every_seconds=0.01)
        _assert_no_checkpoint_passes(state, model)
        broker.start()
        _assert_no_checkpoint_passes(state, model)
        without_broker = _learnt(url) - when_killed
        take_messages_up_to(LETTER_BYTES, servers, running.topics.dead_letters)
        wait_for(lambda: _stands_at(state, model, BEFORE + 1 + BEHIND), "all of it is saved")
        assert trainer.stop() == 0, trainer.text()
        poison = {(0, BEFORE): POISON}
        produced = places(read_topic(running.kafka, running.topics.labels))
        assert_learnt_exactly(state, model, produced - poison.keys(), poison)
        assert_dead_lettered_exactly(running.kafka, model, poison)
    return without_broker


def _learnt(url: str) -> float:
    return scraped(url).get("penstock_events_learnt_total", 0.0)


def _assert_no_checkpoint_passes(state: Path, model: str) -> None:
    kept = newest_checkpoint(state, model)
    assert kept is None or kept.offsets[0] <= BEFORE, "a checkpoint passed a poison whose letter nobody has"


def _stands_at(state: Path, model: str, offset: int) -> bool:
    kept = newest_checkpoint(state, model)
    return kept is not None and kept.offsets[0] == offset
