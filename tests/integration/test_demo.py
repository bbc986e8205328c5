"""The demo as a newcomer meets it: it ends well, shows forgetting and its cure, and stops at once when asked."""

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from line import cpu_seconds
from waiting import wait_for

STOP_SECONDS = 3.0
SPIN_SECONDS = 0.2
BEGUN_SECONDS = 0.3
"""Of its processor's time: the interpreter runs our code."""


@contextmanager
def demo(directory: Path, *arguments: str) -> Iterator["subprocess.Popen[bytes]"]:
    """A running demo without a terminal; its output in `<directory>.txt`."""
    command = [sys.executable, "-m", "penstock.processes.cli", "demo", "--directory", str(directory), *arguments]
    with directory.with_suffix(".txt").open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, start_new_session=True)
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


def said(directory: Path) -> str:
    return directory.with_suffix(".txt").read_text(errors="replace")


def processes_of(directory: Path) -> list[int]:
    """Whatever still runs with this directory on its command line."""
    found = []
    for process in psutil.process_iter(["pid", "cmdline"]):
        if any(str(directory) in word for word in process.info["cmdline"] or []):
            found.append(process.info["pid"])
    return found


def times_slower() -> float:
    """How much longer anything takes now than on a machine that does nothing else."""
    wall, processor = time.monotonic(), time.process_time()
    while time.process_time() - processor < SPIN_SECONDS:
        continue
    return max(1.0, (time.monotonic() - wall) / SPIN_SECONDS)


def interrupt(process: "subprocess.Popen[bytes]", directory: Path) -> int:
    """Ctrl-C; the exit code, once everything has ended in time."""
    limit_seconds = STOP_SECONDS * times_slower()
    began = time.monotonic()
    os.kill(process.pid, signal.SIGINT)
    code = process.wait()
    seconds = time.monotonic() - began
    assert seconds < limit_seconds, f"it took {seconds:.1f} s to stop"
    assert processes_of(directory) == []
    assert "Traceback" not in said(directory)
    return code


def test_it_shows_forgetting_and_its_cure_and_keeps_serving_when_asked(tmp_path: Path) -> None:
    directory = tmp_path / "demo"
    with demo(directory, "--keep") as process:

        def ended() -> bool:
            assert process.poll() is None, said(directory)
            return "Everything keeps serving" in said(directory)

        wait_for(ended, "the demo has played", 400)
        result = json.loads((directory / "result.json").read_text())
        assert result["accuracy_with_replay"] >= 0.90
        assert result["accuracy_without_replay"] < 0.30
        assert (directory / "digits.png").read_bytes().startswith(b"\x89PNG")
        assert "penstock_events_learnt_total" in (directory / "metrics" / "trainer-digits.txt").read_text()

        curl = re.search(r"^ask\s+(curl .+)$", said(directory), re.MULTILINE)
        assert curl is not None
        answer = json.loads(subprocess.run(shlex.split(curl[1]), capture_output=True, check=True, timeout=60).stdout)
        assert {output["name"] for output in answer["outputs"]} >= {"label", "probability"}
        assert interrupt(process, directory) == 0


@pytest.mark.parametrize("seconds", [0.0, 3.0, 9.0])
def test_ctrl_c_at_any_moment_stops_all_of_it(tmp_path: Path, seconds: float) -> None:
    directory = tmp_path / "demo"
    with demo(directory) as process:
        wait_for(lambda: cpu_seconds(process.pid) > BEGUN_SECONDS, "it has begun", every_seconds=0.01)
        time.sleep(seconds)  # any moment will do
        assert interrupt(process, directory) == 130


def test_a_folder_that_is_not_a_demo_is_left_alone(tmp_path: Path) -> None:
    directory = tmp_path / "mine"
    directory.mkdir()
    (directory / "thesis.txt").write_text("years of work")
    with demo(directory) as process:
        assert process.wait() == 1
    assert "--directory" in said(directory)
    assert (directory / "thesis.txt").read_text() == "years of work"


def test_a_folder_that_cannot_be_made_is_named() -> None:
    command = [sys.executable, "-m", "penstock.processes.cli", "demo", "--directory", "/proc/demo"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 1
    assert re.fullmatch(r"penstock: /proc/demo cannot be made: .*--directory\.\n", done.stderr)
