"""What tests change in a process of the nursery's: its clock, its pace, and that it writes down what it comes by."""

import os
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from penstock.flow import EventBatch

PASSES = "NURSERY_PASSES"
"""In a process's environment: the file to which it adds the name of each failpoint that it comes by."""
CLOCK = "NURSERY_CLOCK"
"""In a process's environment: the file that says by how many seconds its clock is wrong."""
PACE = "NURSERY_PACE"
"""In a trainer's environment: a file with two numbers. It runs for so many events, then walks, one micro-batch in so
many seconds, and runs again once the file is gone."""


def change_this_process(environ: Mapping[str, str]) -> None:
    """As its environment asks."""
    for name, change in ((CLOCK, _move_clock), (PASSES, _note_passes), (PACE, _keep_pace)):
        if name in environ:
            change(Path(environ[name]))


def _move_clock(file: Path) -> None:
    """Let it be wrong by the seconds that the file says, whenever it is asked."""
    right = time.time_ns
    vars(time)["time_ns"] = lambda: right() + round(float(file.read_text()) * 1e9)
    vars(time)["time"] = lambda: time.time_ns() / 1e9


def _note_passes(file: Path) -> None:
    """Write down each failpoint that this process comes by, unless any is armed."""
    from penstock import failpoints

    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    vars(failpoints)["_pass_by"] = lambda name: os.write(descriptor, f"{name}\n".encode())


def _keep_pace(file: Path) -> None:
    """Let a trainer not get far before anybody looks, however late that is."""
    from penstock.adapters.intake_process.client import IntakeProcess
    from penstock.processes.trainer import parts

    class Walking(IntakeProcess):
        num_events = 0

        def next_batch(self, timeout_seconds: float) -> "EventBatch | None":
            with suppress(FileNotFoundError):
                runs_for, seconds = map(float, file.read_text().split())
                time.sleep(seconds if self.num_events >= runs_for else 0.0)
            batch = super().next_batch(timeout_seconds)
            self.num_events += batch.events.num_rows if batch is not None else 0
            return batch

    vars(parts)["IntakeProcess"] = Walking
