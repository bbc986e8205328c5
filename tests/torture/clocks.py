"""A clock that is an hour fast, an hour slow, or jumps: nothing but displayed times changes.

The clock of the processes is moved by the nursery; it reads the offset from a file each time that it is asked.
"""

import random
import time
from functools import partial
from pathlib import Path

from configurations import question
from forked_changes import CLOCK
from random_kills import pace, wait_for_progress
from scraped import scraped
from torture.fault import Fault, Figures
from torture.interrupted import Interrupted, interrupted
from torture.workspace import Workspace
from verifying.answers import Asking, assert_answers_hold
from verifying.updates import acceptable, announced
from waiting import wait_for

MESSAGES = 3_000
HOUR_SECONDS = 3600.0
JUMPS = 12


def play(workspace: Workspace, seed: int) -> Figures:
    """Ahead, back and to and fro while one trainer learns and a replica answers."""
    chance = random.Random(seed)
    clock = workspace.directory / "clock"
    set_clock(clock, 0)
    with interrupted(workspace, seed, MESSAGES, clocks_differ=True) as run:
        moved = {CLOCK: str(clock)}
        walking = workspace.directory / "walking"
        trainer = run.line.start_trainer(moved | pace(walking, runs_for=0, step_seconds=0.01))
        replica = run.line.start("serve", "--port", "0", environ=moved)
        url = str(wait_for(lambda: replica.says("listening"), "the replica listens")["url"])
        offsets = [HOUR_SECONDS, -HOUR_SECONDS, *(chance.uniform(-HOUR_SECONDS, HOUR_SECONDS) for _ in range(JUMPS))]
        with Asking(url, run.model, question(1, label=0, width=4)) as asking:
            for offset in offsets:
                set_clock(clock, offset)
                if abs(offset) == HOUR_SECONDS:
                    wait_for(partial(_is_said, run, offset), "an update says the wrong time")
                wait_for_progress(trainer, run.messages_passed, chance, at_most=60)
            walking.unlink()
            wait_for(lambda: run.is_done, "everything is learnt")
            last = run.line.wait_until_announced(MESSAGES)
            wait_for(lambda: asking.newest_version == last.version, "the replica serves the newest")
        said_ms = [update.announced_at_ms for update in announced(run.line.kafka, run.model)]
        spread_seconds = (max(said_ms) - min(said_ms)) / 1000
        assert spread_seconds > HOUR_SECONDS, f"the clock moved by {spread_seconds:.0f} s only: nothing was tried"
        _assert_freshness_is_possible(url, sum_at_most=len(said_ms) * 2 * HOUR_SECONDS)
        assert trainer.stop() == 0, trainer.text()
        assert_answers_hold(asking.answers, acceptable(run.line.kafka, run.model))
        run.verify()
    return {"jumps of the clock": float(len(offsets))}


def _is_said(run: Interrupted, offset_seconds: float) -> bool:
    update = run.line.newest_update()
    return update is not None and abs(update.announced_at_ms / 1000 - time.time() - offset_seconds) < HOUR_SECONDS / 4


def set_clock(file: Path, offset_seconds: float) -> None:
    """In one step, as processes read it all the while."""
    unfinished = file.with_suffix(".new")
    unfinished.write_text(str(offset_seconds))
    unfinished.rename(file)


def _assert_freshness_is_possible(url: str, *, sum_at_most: float) -> None:
    """No single freshness is below zero: else the first bucket would hold what the sum shows to be missing."""
    found = scraped(f"{url}/metrics")
    assert found["penstock_freshness_seconds_count"] > 0, "no freshness was measured"
    total = found["penstock_freshness_seconds_sum"]
    assert 0 <= total <= sum_at_most, f"the sum of freshness is {total} s"


CLOCKS = Fault(
    number=14,
    title="clocks that are wrong",
    injected="clocks of trainer and replica an hour fast, an hour slow, and jumping; timestamps of events as wrong",
    must_hold="I1 to I6; the end is bit for bit that of a run with a right clock; freshness is never negative",
    short_tries=1,
    long_tries=10,
    play=play,
)
