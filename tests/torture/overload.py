"""More than a trainer can bear: a step longer than any session timeout, and a producer three times as fast as it is."""

import os
import random
import signal
import time

import psutil

from configurations import configuration, events
from line import Line, Process, line
from penstock.adapters.disk.outline import newest_outline
from torture.fault import Fault, Figures
from torture.workspace import Workspace
from verifying.learnt import assert_count_learnt
from waiting import wait_for

STANDS_SECONDS = {False: 7.0, True: 60.0}
FAST_SECONDS = {False: 5.0, True: 60.0}
MOST_SECONDS = 300.0
"""For the lag to grow by more than a second's events."""
TIMES_FASTER = 3
HEAD_START = 100
WIDTH = 200
"""So that an event is about 2 KB, and what piles up shows."""
MOST_GROWTH_BYTES = 200 << 20
"""librdkafka's queue of 64 MiB, what is decoded of it, and what the allocators keep."""
RATE_EVENTS = 1500
SLOW = "learning_rate = 0.001\ninner_steps = 24"
SHORT_SESSION = '"session.timeout.ms" = 6000\n"max.poll.interval.ms" = 6000\n[intake]'
"""The shortest that Kafka allows, for whoever has a session; the trainer has none."""


def play(workspace: Workspace, seed: int) -> Figures:
    """First the trainer stands in the middle of a step, then it is overrun."""
    chance = random.Random(seed)
    model, directory = workspace.new_model(), workspace.directory
    text = configuration(model, workspace.kafka.bootstrap_servers, directory / "state", training=SLOW, width=WIDTH)
    text = text.replace("[intake]", SHORT_SESSION, 1)
    with line(directory, workspace.kafka.bootstrap_servers, model, text, workspace.nursery) as running:
        assert running.run("topics", "create").returncode == 0
        trainer = running.start("train", forked=False)  # its intake is then its child
        produced = running.produce(events(300, width=WIDTH, seed=seed))
        running.wait_until_announced(produced)
        rate = _rate(running, produced)
        produced += RATE_EVENTS
        before = _resident_bytes(trainer)

        os.kill(trainer.pid, signal.SIGSTOP)
        time.sleep(STANDS_SECONDS[workspace.is_long])  # how long it stands is what is tried here
        os.kill(trainer.pid, signal.SIGCONT)
        produced += running.produce(events(300, width=WIDTH, seed=seed + 1, start=produced))
        running.wait_until_announced(produced)

        lag, most = 0, before
        began, start = time.monotonic(), produced
        while (fast_seconds := time.monotonic() - began) < FAST_SECONDS[workspace.is_long] or lag < rate:
            assert fast_seconds < MOST_SECONDS, f"the lag grew to {lag} events only, at {rate:.0f} events/s"
            due = TIMES_FASTER * (_passed(running) - start) + HEAD_START + chance.randrange(10)
            more = events(max(start + due - produced, 0), width=WIDTH, seed=chance.randrange(1000), start=produced)
            produced += running.produce(more)
            lag, most = max(lag, produced - _passed(running)), max(most, _resident_bytes(trainer))
            time.sleep(0.02)  # a producer's pace
        wait_for(lambda: _passed(running) == produced, "the lag drains", 300)
        drained_seconds = time.monotonic() - began - fast_seconds
        most = max(most, _resident_bytes(trainer))
        assert most - before < MOST_GROWTH_BYTES, f"memory grew by {(most - before) >> 20} MiB"
        assert trainer.stop() == 0, trainer.text()
        assert_count_learnt(directory / "state", model, produced)
    return {
        "trainer alone, events/s": rate,
        "lag at its most, events": float(lag),
        "drained after, s": drained_seconds,
        "resident memory grown, MiB": (most - before) / 2**20,
    }


def _rate(running: Line, produced: int) -> float:
    """Events a second that it learns from a full log."""
    running.produce(events(RATE_EVENTS, width=WIDTH, seed=7, start=produced))
    began = time.monotonic()
    wait_for(lambda: _passed(running) == produced + RATE_EVENTS, "the rate is measured", every_seconds=0.01)
    return RATE_EVENTS / (time.monotonic() - began)


def _passed(running: Line) -> int:
    checkpoint = newest_outline(running.directory / "state", running.model, tensors=(), columns=())
    return sum(checkpoint.offsets.next.values()) if checkpoint else 0


def _resident_bytes(trainer: Process) -> int:
    """Of the trainer and its intake."""
    process = psutil.Process(trainer.pid)
    return sum(each.memory_info().rss for each in (process, *process.children()))


OVERLOAD = Fault(
    number=16,
    title="more than it can bear",
    injected="the trainer stands still in a step for longer than any session timeout (a minute; 6 s are configured); "
    "then a producer is three times as fast as it is for a minute",
    must_hold="every event is learnt once; memory is bounded, the lag grows, then drains",
    short_tries=1,
    long_tries=2,
    play=play,
)
