"""A service that is stopped before it has begun has stopped well, and says nothing."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from line import Process
from replica_configuration import replica_configuration
from served_models import PIXELS
from waiting import wait_for


def hears_sigterm(pid: int) -> bool:
    """Whether the process has a handler for it (proc_pid_status(5), SigCgt)."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    caught = next(line.split()[1] for line in lines if line.startswith("SigCgt:"))
    return bool(int(caught, 16) >> (signal.SIGTERM - 1) & 1)


@pytest.fixture
def config(tmp_path: Path, unused_address: str) -> Path:
    path = tmp_path / "penstock.toml"
    path.write_text(replica_configuration(PIXELS, unused_address, tmp_path / "state", kafka=""))
    return path


@contextmanager
def started(arguments: list[str], log: Path) -> Iterator[tuple[Process, psutil.Process]]:
    """A command and its process; whatever happens, nothing of it stays."""
    process = Process(arguments, log, {})
    running = psutil.Process(process._process.pid)
    try:
        yield process, running
    finally:
        if running.is_running():
            for each in (*running.children(recursive=True), running):
                each.kill()
            process.wait()


@pytest.mark.parametrize("command", ["serve", "train"])
def test_at_the_first_moment_at_which_it_can_be_stopped(command: str, config: Path, tmp_path: Path) -> None:
    with started([command, "--config", str(config)], tmp_path / "log") as (process, running):
        wait_for(lambda: hears_sigterm(running.pid), "it hears SIGTERM", every_seconds=0.001)
        os.kill(running.pid, signal.SIGTERM)
        assert process.wait() == 0, process.text()
        assert not process.text()


def test_several_processes_of_which_none_has_begun(config: Path, tmp_path: Path) -> None:
    arguments = ["serve", "--config", str(config), "--processes", "2", "--port", "0"]
    with started(arguments, tmp_path / "log") as (process, running):
        wait_for(lambda: len(running.children()) == 2, "both have been started", every_seconds=0.001)
        os.kill(running.pid, signal.SIGTERM)
        assert process.wait() == 0, process.text()
        assert "Traceback" not in process.text()
