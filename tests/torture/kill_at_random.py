"""kill -9 at random: how soon a trainer learns again, and how much it learns again."""

import random
import time
from functools import partial

from line import Process
from random_kills import kill_while_starting, wait_for_progress
from scraped import scraped
from torture.fault import Fault, Figures
from torture.interrupted import interrupted
from torture.workspace import Workspace
from waiting import wait_for

KILLS = 20
"""A try, in either form."""
WHILE_STARTING = 0.25
MESSAGES, RUNS_FOR = 9_000, 300
"""Room for a busy machine, on which a trainer gets on by a few hundred between two looks at it."""
AT_MOST = 150
"""Messages between the last kill and the next."""


def play(workspace: Workspace, seed: int) -> Figures:
    """One life of a model, killed so many times; the long form starts an interpreter of its own each time."""
    chance = random.Random(seed)
    recovery_seconds: list[float] = []
    again: list[float] = []
    with interrupted(workspace, seed, MESSAGES, runs_for=RUNS_FOR, drifts=seed % 2 == 0) as run:
        for _ in range(KILLS):
            began = time.monotonic()
            trainer = run.start(forked=not workspace.is_long)
            if chance.random() < WHILE_STARTING:
                kill_while_starting(trainer, chance)
                continue
            wait_for(partial(_learnt, trainer), "a first step", every_seconds=0.01)
            recovery_seconds.append(time.monotonic() - began)
            wait_for_progress(trainer, run.messages_passed, chance, at_most=AT_MOST)
            learnt = _events_before(trainer) + _learnt(trainer)
            trainer.kill()
            again.append(learnt - run.events_learnt())
        passed = run.messages_passed()
        assert 0 < passed < MESSAGES, f"the kills came too early or too late: {passed} of {MESSAGES} messages"
        run.finish()
        run.verify()
    return {"recovery, start to first step, s": recovery_seconds, "events learnt again per kill": again}


def _events_before(trainer: Process) -> float:
    """What its checkpoint had learnt when it started."""
    restored = trainer.said("restored")
    return float(restored["events_learnt"]) if restored else 0.0


def _learnt(trainer: Process) -> float:
    """Events that this process has learnt, as its metrics say."""
    exposing = trainer.says("metrics")
    if exposing is None:
        return 0.0
    return scraped(exposing["url"]).get("penstock_events_learnt_total", 0.0)


KILL_AT_RANDOM = Fault(
    number=2,
    title="kill -9 at random",
    injected="kill -9 at a random stage of a start or after a random number of events more, tied to progress",
    must_hold="I1 to I4 and I6; the end is bit for bit that of an uninterrupted run",
    short_tries=1,
    long_tries=15,
    play=play,
    kills_per_try=KILLS,
)
