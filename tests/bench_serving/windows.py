"""Requests at fixed times to one server for a while, and what its memory did meanwhile."""

import subprocess
import sys
import threading
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

Float64s = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Window:
    """When each request was `due` (monotonic) and how long after that it was answered, in seconds [n]."""

    due: Float64s
    took: Float64s
    num_errors: int

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


def asked_while_swapping(running: Running, rate: float, seconds: float, every_seconds: float) -> Window:
    """The same of a replica to which a version is announced so often."""
    stopped = threading.Event()
    publishing = threading.Thread(target=running.publisher.publish_every, args=(every_seconds, stopped))
    publishing.start()
    try:
        return asked_of(running.port, rate, seconds)
    finally:
        stopped.set()
        publishing.join()


def resident_during(running: Running, work: Callable[[], object]) -> list[float]:
    """Resident bytes of the replica, by sample, while `work` is done."""
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
    while not done.wait(MEMORY_EVERY_SECONDS):
        resident.append(process.memory_info().rss)
