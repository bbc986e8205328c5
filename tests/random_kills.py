"""kill -9 at random, tied to progress rather than to a clock: a busy machine changes nothing about where it strikes."""

import random
from collections.abc import Callable
from pathlib import Path

from forked_changes import PACE
from line import Process
from waiting import wait_for

STAGES = ("trainer starting", "metrics", "claimed", "learning on", "reading labels")
"""Of a start, as the log names them."""
POLL_SECONDS = 0.001


def pace(file: Path, *, runs_for: int, step_seconds: float = 0.02) -> dict[str, str]:
    """An environment in which a trainer walks once it has learnt so many events, until the file is gone.

    Where it strikes then depends little on how soon whoever looks at it is given the processor.
    """
    file.write_text(f"{runs_for} {step_seconds}")
    return {PACE: str(file)}


def kill_while_starting(trainer: Process, chance: random.Random) -> None:
    """Once it has said that it has come to a random stage of its start."""
    wait_for_stage(trainer, chance)
    trainer.kill()


def kill_while_learning(trainer: Process, passed: Callable[[], int], chance: random.Random, *, at_most: int) -> None:
    """Once its newest checkpoint has a random number of messages more behind it: see `wait_for_progress`."""
    wait_for_progress(trainer, passed, chance, at_most=at_most)
    trainer.kill()


def wait_for_stage(trainer: Process, chance: random.Random) -> None:
    """Until it has come to a random stage of its start."""
    stage = chance.choice(STAGES)
    wait_for(lambda: trainer.says(stage), f"the trainer comes to {stage!r}", every_seconds=POLL_SECONDS)


def wait_for_progress(trainer: Process, passed: Callable[[], int], chance: random.Random, *, at_most: int) -> None:
    """Until its newest checkpoint has a random number of messages more behind it, at most so many and at least one."""
    target = passed() + chance.randint(1, at_most)

    def has_come() -> bool:
        assert trainer.is_running, f"the trainer has ended:\n{trainer.text()}"
        return passed() >= target

    wait_for(has_come, f"{target} messages are learnt", every_seconds=POLL_SECONDS)
