"""Servers as processes of their own, each on the one core that no client shares."""

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

SERVER_CORE, CLIENT_CORE = 0, 1
ECHO = Path(__file__).with_name("echo.py")


def pin(pid: int, core: int) -> None:
    """Keep a process and its children, all their threads and those to come, on one core."""
    process = psutil.Process(pid)
    for each in (process, *process.children(recursive=True)):
        for thread in each.threads():
            with suppress(ProcessLookupError):  # it has ended meanwhile
                os.sched_setaffinity(thread.id, {core})


@contextmanager
def pinned(command: Sequence[str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A server until the end of `with`, on its core, with one thread for arithmetic."""
    with log.open("wb") as stream:
        process = subprocess.Popen(
            ["taskset", "-c", str(SERVER_CORE), *command],
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=subprocess.STDOUT,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@contextmanager
def echo(port: int, log: Path) -> Iterator[None]:
    """A bare ASGI application on Penstock's own HTTP server: it reads the body and sends it back."""
    with pinned([sys.executable, str(ECHO), str(port)], log):
        yield
