"""Asked to stop at any moment: what is learnt is saved and announced, and nothing is learnt again."""

import random
import signal
import time

from line import Process
from random_kills import wait_for_progress, wait_for_stage
from torture.fault import Fault, Figures
from torture.interrupted import Interrupted, interrupted
from torture.workspace import Workspace

STOPS = 10
MESSAGES, AT_MOST = 4_000, 150
GRACE_SECONDS = 60.0
"""What the chart gives it."""


def play(workspace: Workspace, seed: int) -> Figures:
    """SIGTERM, SIGINT and SIGTERM twice in turn, at a random stage of the start or of learning."""
    chance = random.Random(seed)
    seconds: list[float] = []
    again = 0.0
    with interrupted(workspace, seed, MESSAGES, runs_for=AT_MOST) as run:
        for number in range(STOPS):
            trainer = run.start()
            if number % 4 == 3:
                wait_for_stage(trainer, chance)
            else:
                wait_for_progress(trainer, run.messages_passed, chance, at_most=AT_MOST)
            began = time.monotonic()
            if number % 5 == 4:
                _stop_twice(trainer)
                continue
            trainer.send_signal(signal.SIGINT if number % 5 == 3 else signal.SIGTERM)
            code = trainer.wait(GRACE_SECONDS)
            seconds.append(time.monotonic() - began)
            assert code == 0, f"the trainer left with {code}:\n{trainer.text()}"
            again += _learnt_again(run, trainer)
        passed = run.messages_passed()
        assert passed < MESSAGES, f"the stops came too late: {passed} of {MESSAGES} messages"
        run.finish()
        run.verify()
    return {"signal to end, s": seconds, "events learnt again": again}


def _stop_twice(trainer: Process) -> None:
    """The second signal ends it at once, wherever it is."""
    trainer.send_signal(signal.SIGTERM)
    trainer.send_signal(signal.SIGTERM)
    code = trainer.wait(GRACE_SECONDS)
    assert code in (0, 128 + signal.SIGTERM), f"the trainer left with {code}:\n{trainer.text()}"


def _learnt_again(run: Interrupted, trainer: Process) -> int:
    """What it says it had learnt, beyond its last checkpoint; what it announced is that checkpoint."""
    ended = trainer.said("ended")
    if ended is None:  # stopped before it had begun to learn
        return 0
    again = int(ended["events_learnt"]) - run.events_learnt()
    assert again == 0, f"{again} of the events learnt are not in the checkpoint that it left"
    update = run.line.newest_update()
    if update is not None and update.metrics["events_learnt"]:
        assert update.metrics["events_learnt"] == ended["events_learnt"], "what it learnt last is not announced"
    return again


STOPPING = Fault(
    number=17,
    title="asked to stop",
    injected="SIGTERM, SIGINT, or SIGTERM twice, at any moment of a start or of learning",
    must_hold="after one signal it saves, announces and leaves in time with 0 events to be learnt again; "
    "I1 to I4 and I6; the end is bit for bit that of an uninterrupted run",
    short_tries=1,
    long_tries=20,
    play=play,
)
