"""kill -9 at each failpoint of a trainer and its intake, at the first, third and tenth pass, and while it recovers.

A start comes by its own points once; there a later pass is so many starts in a row that are killed at the same one.
"""

import random
from collections.abc import Iterator

from line import Process
from penstock.failpoints import NAMES, Failpoint
from torture.fault import Fault, Figures
from torture.interrupted import Interrupted, interrupted
from torture.workspace import Workspace
from waiting import wait_for

PASSES = (1, 3, 10)
STARTING = tuple(name for name in NAMES if name.startswith(("recovery.", "claim.")))
LETTERS = tuple(name for name in NAMES if name.startswith("dead_letter."))
RECORDING = tuple(name for name in NAMES if name.startswith("record."))
PUBLISHING = tuple(name for name in NAMES if name.startswith(("publication.", "checkpoint.", "announcement.")))
DURING_RECOVERY = 0.3
"""Share of kills after which the next start is killed as well."""
LONG_MESSAGES, SHORT_MESSAGES, RUNS_FOR = 12_000, 4_000, 100
PARTS = 7
"""Long tries, one seed after the other, that together kill at every point and pass; coprime with the passes."""

Kill = tuple[Failpoint, int]


def play(workspace: Workspace, seed: int) -> Figures:
    """Of all of them the part of this seed in one run; of the short form a sample, without MLflow."""
    chance = random.Random(seed)
    kills = list(_all(PUBLISHING + LETTERS + RECORDING + STARTING))[seed % PARTS :: PARTS]
    if not workspace.is_long:
        kills = _sample(chance)
    chance.shuffle(kills)
    num_kills = 0
    num_messages = LONG_MESSAGES if workspace.is_long else SHORT_MESSAGES
    with interrupted(workspace, seed, num_messages, runs_for=RUNS_FOR, recorded=workspace.is_long) as run:
        for point, at in kills:
            num_kills += _kill(run, point, at)
            if chance.random() < DURING_RECOVERY:
                num_kills += _kill(run, chance.choice(STARTING), 1)
        passed = run.messages_passed()
        assert passed < num_messages, f"the kills came too late: {passed} of {num_messages} messages"
        run.finish()
        run.verify()
    return {"kills": float(num_kills), "points × passes": float(len(kills))}


def _kill(run: Interrupted, point: Failpoint, at: int) -> int:
    """Returns how many processes were killed."""
    if point not in STARTING:
        _await_death(run.start(f"{point}=kill@{at}"), point)
        return 1
    for _ in range(at):
        _await_death(run.start(f"{point}=kill"), point)
    return at


def _await_death(trainer: Process, point: Failpoint) -> None:
    wait_for(lambda: not trainer.is_running, f"the process dies at {point}", every_seconds=0.01)
    if point in LETTERS:
        assert trainer.wait() == 1, trainer.text()
        assert "The intake process ended by signal 9" in trainer.text(), trainer.text()
    else:
        assert trainer.wait() == -9, f"at {point} the trainer ended with {trainer.wait()}:\n{trainer.text()}"


def _all(points: tuple[Failpoint, ...]) -> Iterator[Kill]:
    return ((point, at) for point in points for at in PASSES)


def _sample(chance: random.Random) -> list[Kill]:
    """Some of each kind, and one that comes late."""
    chosen = chance.sample(PUBLISHING, 7) + chance.sample(LETTERS, 1) + chance.sample(STARTING, 3)
    return [(point, chance.choice((1, 3))) for point in chosen] + [(chance.choice(PUBLISHING), 10)]


KILL_AT_NAMED_POINTS = Fault(
    number=1,
    title="kill -9 at named points",
    injected="kill -9 before and after each step of publication, of the checkpoint's write, of recovery, of the claim, "
    "of a dead letter's acknowledgement and of the record, at its 1st, 3rd and 10th pass; the restart killed as well",
    must_hold="I1 to I4 and I6; the end is bit for bit that of an uninterrupted run",
    short_tries=1,
    long_tries=PARTS,
    play=play,
)
