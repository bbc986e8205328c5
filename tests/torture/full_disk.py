"""A state folder that cannot be written: the last good checkpoint stays, and training recovers without a restart."""

import random
from functools import partial
from pathlib import Path
from typing import Literal

from configurations import configuration, events
from kafka_brokers import create_model_topics
from line import Line, Process, line
from penstock.adapters.disk.checkpoints import model_folder
from scraped import metrics_url, scraped
from small_disk import SmallDisk, can_mount, small_disk
from torture.fault import Fault, Figures
from torture.workspace import Workspace
from verifying.learnt import assert_learnt_exactly, newest_checkpoint
from verifying.topics import places, read_topic
from waiting import wait_for

EVENTS = 100
DISK_MIB = 8
IDLE_POLLS = 5
STEPS = (
    "checkpoint.begun",
    "checkpoint.packets_written",
    "checkpoint.large_written",
    "checkpoint.reservoir_written",
    "checkpoint.tensors_written",
    "checkpoint.manifest_written",
    "checkpoint.written",
    "checkpoint.renamed",
)
"""Of writing a checkpoint: an error at one stands for one of a write, an fsync or a rename before it."""


def play_outage(workspace: Workspace, seed: int, *, when: Literal["go-on", "pause"]) -> Figures:
    """Full first, then read-only, on a disk of its own; errors in their place where nothing can be mounted."""
    if not can_mount():
        return play_errors(workspace, seed, errors=("enospc",))
    model, kafka = workspace.new_model(), workspace.kafka.bootstrap_servers
    create_model_topics(kafka, model, label_partitions=1)
    with small_disk(workspace.directory / "disk", DISK_MIB) as disk:
        text = configuration(model, kafka, disk.path, more=f'on_write_failure = "{when}"')
        with line(workspace.directory, kafka, model, text, workspace.nursery) as running:
            trainer = running.start_trainer()
            running.produce(events(EVENTS, seed=seed))
            running.wait_until_announced(EVENTS)
            disk.fill()
            _bear(running, trainer, disk.path, when, learnt=EVENTS, seed=seed + 1)
            disk.empty()
            running.wait_until_announced(2 * EVENTS)
            with disk.read_only(model_folder(disk.path, model)):
                _bear(running, trainer, disk.path, when, learnt=2 * EVENTS, seed=seed + 2)
            running.wait_until_announced(3 * EVENTS)
            _assert_all_learnt(running, trainer, disk)
            failures = [record for record in trainer.records() if "not written" in str(record.get("event"))]
            assert len(failures) < 10, f"{len(failures)} lines about a disk that was away twice"
    return {}


def play_errors(workspace: Workspace, seed: int, *, errors: tuple[str, ...]) -> Figures:
    """One error at each step of writing a checkpoint, one after the other."""
    chance, model, kafka = random.Random(seed), workspace.new_model(), workspace.kafka.bootstrap_servers
    state = workspace.directory / "state"
    create_model_topics(kafka, model, label_partitions=1)
    plan = {step: chance.randint(1, 3) for step in STEPS}
    with line(workspace.directory, kafka, model, configuration(model, kafka, state), workspace.nursery) as running:
        armed = ",".join(f"{step}={chance.choice(errors)}@{at}" for step, at in plan.items())
        trainer = running.start_trainer({"PENSTOCK_FAILPOINTS": armed})
        url, produced = metrics_url(trainer), 0
        while scraped(url)["penstock_checkpoint_failures_total"] < len(STEPS):
            produced += running.produce(events(10, seed=seed + produced, start=produced))
            running.wait_until_announced(produced)
        assert trainer.says("checkpoints are written again"), trainer.text()
        assert trainer.stop() == 0, trainer.text()
        assert_learnt_exactly(state, model, places(read_topic(running.kafka, running.topics.labels)), [])
    return {"failed checkpoints": float(len(STEPS))}


def _bear(running: Line, trainer: Process, state: Path, when: str, *, learnt: int, seed: int) -> None:
    """While nothing can be written: the last checkpoint is whole, and learning goes on or waits as configured."""
    url = metrics_url(trainer)
    failed = scraped(url)["penstock_checkpoint_failures_total"]
    running.produce(events(1, seed=seed, start=learnt))  # a checkpoint is only tried for something new
    wait_for(lambda: scraped(url)["penstock_checkpoint_failures_total"] > failed, "a checkpoint fails")
    running.produce(events(EVENTS - 1, seed=seed, start=learnt + 1))
    if when == "go-on":
        wait_for(lambda: scraped(url)["penstock_events_learnt_total"] == learnt + EVENTS, "training goes on meanwhile")
    else:
        failed = scraped(url)["penstock_checkpoint_failures_total"]
        again = failed + 2
        wait_for(lambda: scraped(url)["penstock_checkpoint_failures_total"] >= again, "it is tried again")
        assert scraped(url)["penstock_events_learnt_total"] < learnt + EVENTS, "training goes on, though it must pause"
    checkpoint = newest_checkpoint(state, running.model)
    assert checkpoint is not None, "no whole checkpoint is left"
    assert checkpoint.events_learnt == learnt


def _assert_all_learnt(running: Line, trainer: Process, disk: SmallDisk) -> None:
    assert trainer.says("checkpoints are written again"), trainer.text()
    assert trainer.stop() == 0, trainer.text()
    assert_learnt_exactly(disk.path, running.model, places(read_topic(running.kafka, running.topics.labels)), [])


FULL_DISK_GOES_ON = Fault(
    number=8,
    title="a full disk, training goes on",
    injected="the state folder's disk (a tmpfs of 8 MiB) is filled to the last byte, emptied, and mounted read-only",
    must_hold="the last good checkpoint stays whole, learning goes on, a line says so; without a restart all of it is "
    "checkpointed and announced once there is space, each event learnt once (I1)",
    short_tries=1,
    long_tries=10,
    play=partial(play_outage, when="go-on"),
)
FULL_DISK_PAUSES = Fault(
    number=8,
    title="a full disk, training pauses",
    injected='the same with `state.on_write_failure = "pause"`',
    must_hold="the same, and nothing is learnt that no checkpoint could hold",
    short_tries=0,
    long_tries=10,
    play=partial(play_outage, when="pause"),
)
DISK_ERRORS = Fault(
    number=8,
    title="errors of the disk",
    injected="ENOSPC or EIO, drawn at random, at each of the eight steps of writing a checkpoint",
    must_hold="each is counted and tried again, nothing is lost, every event is learnt once (I1)",
    short_tries=1,
    long_tries=30,
    play=partial(play_errors, errors=("enospc", "eio")),
)
