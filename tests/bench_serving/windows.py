"""Requests at fixed times to one server for a while, and what its memory did meanwhile."""

import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import psutil

from bench_serving.replicas import Running
from bench_serving.subject import PATH, json_body

CLIENT = Path(__file__).with_name("open_loop.py")
MEMORY_EVERY_SECONDS = 0.05
TURN_SECONDS = 1.0
SETTLING_SECONDS = 0.1
"""At the beginning of a turn, in which the one before may still be at work."""

Float64s = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Window:
    """When each request was `due` (monotonic) and how long after that it was answered, in seconds [n]."""

    due: Float64s
    took: Float64s
    num_errors: int

    def at(self, places: npt.NDArray[np.bool_]) -> "Window":
        """Those requests of it; errors are counted with either part."""
        return Window(due=self.due[places], took=self.took[places], num_errors=self.num_errors)

    @property
    def p99_ms(self) -> float:
        return float(np.quantile(self.took, 0.99)) * 1000


def asked_of(port: int, rate: float, seconds: float) -> Window:
    """One connection, `rate` requests a second."""
    client = subprocess.run(
        [sys.executable, str(CLIENT), str(port), PATH, str(rate), str(seconds)],
        input=json_body().content,
        capture_output=True,
        timeout=seconds + 120,
        check=True,
    )
    pairs = np.frombuffer(client.stdout, dtype=np.float64).reshape(-1, 2)
    return Window(due=pairs[:, 0], took=pairs[:, 1], num_errors=int(client.stderr))


def asked_in_turn(running: Running, rate: float, seconds: float, every_seconds: float) -> tuple[Window, Window]:
    """Two windows of so many seconds each: of the replica at rest, and while a version is announced to it so often.

    The two take turns second by second, so that whatever else this machine does meanwhile happens to both.
    """
    stopped = threading.Event()
    turns: list[float] = []
    publishing = threading.Thread(target=_publish_in_turn, args=(running, every_seconds, turns, stopped))
    publishing.start()
    try:
        both = asked_of(running.port, rate, 2 * seconds)
    finally:
        stopped.set()
        publishing.join()
    turn = np.searchsorted(np.array(turns), both.due)
    is_settled = both.due >= np.array([0.0, *turns])[turn] + SETTLING_SECONDS
    return both.at(is_settled & (turn % 2 == 0)), both.at(is_settled & (turn % 2 == 1))


def _publish_in_turn(running: Running, every_seconds: float, turns: list[float], stopped: threading.Event) -> None:
    """A second of rest first; `turns` are the times (monotonic) at which another turn began."""
    while not stopped.wait(TURN_SECONDS):
        turns.append(time.monotonic())
        running.publisher.publish_for(TURN_SECONDS, every_seconds, stopped)
        turns.append(time.monotonic())


def resident_during(running: Running, work: Callable[[], object]) -> list[float]:
    """Resident bytes of the replica and the process that reads for it, by sample, while `work` is done."""
    resident: list[float] = []
    done = threading.Event()
    sampling = threading.Thread(target=_sample, args=(running.process.pid, resident, done))
    sampling.start()
    try:
        work()
    finally:
        done.set()
        sampling.join()
    return resident


def _sample(pid: int, resident: list[float], done: threading.Event) -> None:
    process = psutil.Process(pid)
    both = (process, *process.children())
    while not done.wait(MEMORY_EVERY_SECONDS):
        resident.append(sum(each.memory_info().rss for each in both))
