"""Places where a test may have the process die, fail or stand still: between steps, where a crash must cost nothing.

A step calls `failpoints.reach("checkpoint.renamed")` where it has come to; that does nothing, unless `arm` was called.
`PENSTOCK_FAILPOINTS` arms a process: `NAME=ACTION@PASS`, comma-separated; `checkpoint.renamed=kill@3` is kill -9 the
third time this process comes by, `checkpoint.written=enospc@2+` a full disk from the second time on. Without `@PASS` it
is the first. This is the one state that belongs to the whole process, since so does death.
"""

import errno
import os
import re
import signal
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, Literal, cast, get_args

from penstock.errors import ConfigurationError

Failpoint = Literal[
    # The trainer's start, in this order.
    "recovery.begun",
    "recovery.loaded",
    "claim.begun",
    "claim.tail_read",
    "claim.appended",
    "claim.read_back",
    "recovery.chosen",
    "recovery.restored",
    "recovery.reading",
    # Dead letters: the first two in the intake's process.
    "dead_letter.sending",
    "dead_letter.sent",
    "dead_letter.acknowledged",
    # Publication: see trainer/publisher.py.
    "publication.due",
    "publication.captured",
    "publication.letters_acknowledged",
    "checkpoint.begun",
    "checkpoint.packets_written",
    "checkpoint.large_written",
    "checkpoint.reservoir_written",
    "checkpoint.tensors_written",
    "checkpoint.manifest_written",
    "checkpoint.written",
    "checkpoint.renamed",
    "checkpoint.durable",
    "checkpoint.pruning",
    "checkpoint.pruned",
    "publication.saved",
    "publication.judged",
    "publication.stored",
    "announcement.not_fenced",
    "announcement.acknowledged",
    "publication.announced",
    "publication.committed",
    # The record for people.
    "record.begun",
    "record.uploaded",
    "record.registered",
    "record.not_fenced",
    "record.aliased",
    # A replica's swap: see serving/updater.py.
    "swap.received",
    "swap.fetched",
    "swap.verified",
    "swap.built",
    "swap.warmed",
    "swap.swapped",
]
"""Every failpoint there is, in the order in which a process comes by."""

Action = Literal["kill", "enospc", "eio", "pause"]
"""kill -9 itself; `OSError` of a full or a broken disk; SIGSTOP itself, until somebody sends SIGCONT."""

NAMES: Final[tuple[Failpoint, ...]] = get_args(Failpoint)
ACTIONS: Final[tuple[Action, ...]] = get_args(Action)
VARIABLE: Final = "PENSTOCK_FAILPOINTS"
_ENTRY: Final = re.compile(r"(?P<name>[\w.]+)=(?P<action>\w+)(?:@(?P<at>[1-9]\d*)(?P<on>\+?))?")


@dataclass(frozen=True, kw_only=True)
class Armed:
    """What happens at one failpoint, at its pass number `at`, and at every later one if `and_on`."""

    action: Action
    at: int
    and_on: bool

    def is_due(self, passes: int) -> bool:
        """True if the process has come by so often that this must happen now."""
        return passes == self.at or (self.and_on and passes > self.at)


def _pass_by(name: Failpoint) -> None:
    """Nothing is armed."""


reach: Callable[[Failpoint], None] = _pass_by
"""Say that this step has been reached. Call it as `failpoints.reach`: `arm` puts another function here."""


def arm(text: str) -> None:
    """Let happen what `text` says, in this process; nothing if it is empty.

    Raises:
        ConfigurationError: it names no failpoint or no action, or a pass that is no whole number from 1 on.
    """
    global reach
    plan = _parsed(text)
    reach = _Counting(plan).reach if plan else _pass_by


class _Counting:
    """Counts how often each armed failpoint was reached, over all threads."""

    def __init__(self, plan: Mapping[Failpoint, Armed]) -> None:
        self._plan = plan
        self._passes: Counter[Failpoint] = Counter()
        self._counting = threading.Lock()

    def reach(self, name: Failpoint) -> None:
        armed = self._plan.get(name)
        if armed is None:
            return
        with self._counting:
            self._passes[name] += 1
            is_due = armed.is_due(self._passes[name])
        if is_due:
            _act(armed.action, name)


def _act(action: Action, name: Failpoint) -> None:
    if action == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    elif action == "pause":
        os.kill(os.getpid(), signal.SIGSTOP)
    else:
        number = errno.ENOSPC if action == "enospc" else errno.EIO
        raise OSError(number, f"{os.strerror(number)} (failpoint {name})")


def _parsed(text: str) -> dict[Failpoint, Armed]:
    plan: dict[Failpoint, Armed] = {}
    for entry in filter(None, (part.strip() for part in text.split(","))):
        found = _ENTRY.fullmatch(entry)
        if found is None:
            raise ConfigurationError(
                f"{VARIABLE} says {entry!r}; it must be NAME=ACTION or NAME=ACTION@PASS, as checkpoint.renamed=kill@3."
            )
        name, action = found["name"], found["action"]
        if name not in NAMES:
            raise ConfigurationError(f"{VARIABLE} names {name!r}, which is no failpoint; there are {', '.join(NAMES)}.")
        if action not in ACTIONS:
            raise ConfigurationError(f"{VARIABLE} gives {name} the action {action!r}; there are {', '.join(ACTIONS)}.")
        at, and_on = int(found["at"] or 1), found["on"] == "+"
        plan[cast(Failpoint, name)] = Armed(action=cast(Action, action), at=at, and_on=and_on)
    return plan
