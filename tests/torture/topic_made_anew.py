"""A topic deleted and made anew under the same name: under a trainer that runs, and under one that is stopped."""

import random
import re

from confluent_kafka.admin import AdminClient

from configurations import configuration, events
from kafka_brokers import create_model_topics
from line import Line, line
from torture.fault import Fault, Figures
from torture.workspace import Workspace
from verifying.learnt import newest_checkpoint
from waiting import wait_for

EVENTS = 60
STOPS = re.compile("was deleted and made anew while it was read|but the log ends at|cannot be read on from offset")
"""The new topic has grown past the trainer's offset; or it asked while that was shorter; or grew as it looked."""


def play(workspace: Workspace, seed: int) -> Figures:
    """The new topic is shorter than the old one or, which no offset tells, has grown past it."""
    chance, model, kafka = random.Random(seed), workspace.new_model(), workspace.kafka.bootstrap_servers
    state = workspace.directory / "state"
    create_model_topics(kafka, model, label_partitions=1)
    with line(workspace.directory, kafka, model, configuration(model, kafka, state), workspace.nursery) as running:
        trainer = running.start_trainer()
        running.produce(events(EVENTS, seed=seed))
        running.wait_until_announced(EVENTS)
        _make_anew(running)
        anew = running.produce(events(EVENTS + chance.choice((-EVENTS // 2, EVENTS)), seed=seed + 1, start=EVENTS))
        if anew > EVENTS:  # else the trainer, at an offset beyond the end, hears of it from the broker
            assert trainer.wait() == 1, trainer.text()
            assert STOPS.search(trainer.last_words()), trainer.text()
        else:
            trainer.kill()

        refused = running.start_trainer()
        assert refused.wait() == 1, refused.text()
        assert re.search(r"deleted and made anew \(topic id \S+ then, \S+ now\)", refused.text()), refused.text()
        before = newest_checkpoint(state, model)
        assert before is not None
        assert before.events_learnt == EVENTS, "a checkpoint holds events of the new topic under the old one's id"

        accepting = running.start("train", "--accept-loss")

        def all_learnt() -> bool:
            checkpoint = newest_checkpoint(state, model)
            assert accepting.is_running, accepting.text()
            return checkpoint is not None and checkpoint.events_learnt == EVENTS + anew

        wait_for(all_learnt, "every event of the new topic is learnt, from its first on")
        assert accepting.stop() == 0, accepting.text()
        found = newest_checkpoint(state, model)
        assert found is not None
        assert (found.events_learnt, found.offsets[0]) == (EVENTS + anew, anew)
        assert found.label_log.topic_id != before.label_log.topic_id
        assert [loss.reason for loss in found.label_log.losses] == ["made-anew"]
    return {"events in the new topic": float(anew)}


def _make_anew(running: Line) -> None:
    admin = AdminClient({"bootstrap.servers": str(running.kafka["bootstrap.servers"])})
    admin.delete_topics([running.topics.labels])[running.topics.labels].result(60)
    wait_for(lambda: running.topics.labels not in admin.list_topics(timeout=60).topics, "the topic is gone")
    create_model_topics(str(running.kafka["bootstrap.servers"]), running.model, label_partitions=1)


TOPIC_MADE_ANEW = Fault(
    number=6,
    title="a topic made anew",
    injected="the label topic is deleted and made anew under a running trainer, shorter or longer than the old one",
    must_hold="no checkpoint holds an event of the new topic under the old one's id; the trainer stops, a new one does "
    "not start and names both ids; `--accept-loss` learns the new topic whole, each event once",
    short_tries=1,
    long_tries=20,
    play=play,
)
