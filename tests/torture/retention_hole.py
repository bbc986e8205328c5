"""Events gone from the topic before they were learnt: a stop that says how many, and a way on that writes it down."""

import random

from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient

from configurations import configuration, events
from kafka_brokers import create_model_topics
from line import Line, line
from scraped import metrics_url, scraped
from torture.fault import Fault, Figures
from torture.workspace import Workspace
from verifying.learnt import assert_learnt_exactly, newest_checkpoint
from verifying.topics import Place, places, read_topic
from waiting import wait_for

EVENTS = 60


def play(workspace: Workspace, seed: int) -> Figures:
    """Learn some, stop, produce more, cut the topic; start, and start again accepting the loss."""
    chance, model, kafka = random.Random(seed), workspace.new_model(), workspace.kafka.bootstrap_servers
    state, tracking_uri = workspace.directory / "state", workspace.mlflow().tracking_uri if workspace.is_long else None
    create_model_topics(kafka, model, label_partitions=2)
    text = configuration(model, kafka, state, tracking_uri=tracking_uri)
    with line(workspace.directory, kafka, model, text, workspace.nursery) as running:
        trainer = running.start_trainer()
        running.produce(events(EVENTS, seed=seed))
        running.wait_until_announced(EVENTS)
        assert trainer.stop() == 0, trainer.text()
        learnt = places(read_topic(running.kafka, running.topics.labels))
        running.produce(events(EVENTS, seed=seed + 1, start=EVENTS))
        there = places(read_topic(running.kafka, running.topics.labels))
        lost = _cut(running, there - learnt, chance)

        refused = running.start_trainer()
        assert refused.wait() == 1, refused.text()
        for partition, count in lost.items():
            sentence = f"{count} events of '{running.topics.labels}' partition {partition} are gone"
            assert sentence in refused.last_words(), refused.text()

        accepting = running.start("train", "--accept-loss")
        wait_for(lambda: accepting.says("a loss was accepted"), "the loss is accepted")
        running.produce(events(EVENTS, seed=seed + 2, start=2 * EVENTS))
        running.wait_until_announced(3 * EVENTS)
        assert scraped(metrics_url(accepting))["penstock_events_lost_total"] == sum(lost.values())
        assert accepting.stop() == 0, accepting.text()

        still_there = places(read_topic(running.kafka, running.topics.labels))
        assert_learnt_exactly(state, model, learnt | still_there, there - learnt - still_there)
        checkpoint = newest_checkpoint(state, model)
        assert checkpoint is not None
        assert {loss.partition: loss.num_events for loss in checkpoint.label_log.losses} == lost
        if tracking_uri is not None:
            assert _live_tags(tracking_uri, model)["penstock.events_lost"] == str(sum(lost.values()))
    return {"events lost": float(sum(lost.values()))}


def _cut(running: Line, unlearnt: set[Place], chance: random.Random) -> dict[int, int]:
    """Do what retention does to some of the unlearnt events; returns how many are gone of each partition."""
    lost, until = dict[int, int](), list[TopicPartition]()
    for partition in sorted({partition for partition, _ in unlearnt}):
        offsets = sorted(offset for found, offset in unlearnt if found == partition)
        lost[partition] = chance.randint(1, len(offsets))
        until.append(TopicPartition(running.topics.labels, partition, offsets[0] + lost[partition]))
    admin = AdminClient({"bootstrap.servers": str(running.kafka["bootstrap.servers"])})
    for outcome in admin.delete_records(until).values():
        outcome.result(60)
    return lost


def _live_tags(tracking_uri: str, model: str) -> dict[str, str]:
    from mlflow import MlflowClient

    tags: dict[str, str] = MlflowClient(tracking_uri).get_model_version_by_alias(model, "live").tags
    return tags


RETENTION_HOLE = Fault(
    number=6,
    title="a retention hole",
    injected="the topic is cut, at offsets drawn at random, under a stopped trainer that had not learnt all of it",
    must_hold="the trainer stops and names each partition with its number of lost events; `--accept-loss` goes on, "
    "learns all that is left once (I1), and the loss stands in log, metric, checkpoint and (long form) MLflow tag",
    short_tries=1,
    long_tries=20,
    play=play,
)
