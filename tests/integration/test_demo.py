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

from waiting import wait_for

STOP_SECONDS = 3.0


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


def interrupt(process: "subprocess.Popen[bytes]", directory: Path) -> int:
    """Ctrl-C; the exit code, once everything has ended in time."""
    began = time.monotonic()
    os.kill(process.pid, signal.SIGINT)
    code = process.wait(STOP_SECONDS)
    assert time.monotonic() - began < STOP_SECONDS
    assert processes_of(directory) == []
    assert "Traceback" not in said(directory)
    return code


def test_it_shows_forgetting_and_its_cure_and_keeps_serving_when_asked(tmp_path: Path) -> None:
    directory = tmp_path / "demo"
    with demo(directory, "--keep") as process:

        def ended() -> bool:
            assert process.poll() is None, said(directory)
            return "Everything keeps serving" in said(directory)

        wait_for(ended, "the demo has played", 150)
        result = json.loads((directory / "result.json").read_text())
        assert result["accuracy_with_replay"] >= 0.90
        assert result["accuracy_without_replay"] < 0.30
        assert (directory / "digits.png").read_bytes().startswith(b"\x89PNG")
        assert "penstock_events_learnt_total" in (directory / "metrics" / "trainer-digits.txt").read_text()

        curl = re.search(r"^ask\s+(curl .+)$", said(directory), re.MULTILINE)
        assert curl is not None
        answer = json.loads(subprocess.run(shlex.split(curl[1]), capture_output=True, check=True, timeout=10).stdout)
        assert {output["name"] for output in answer["outputs"]} >= {"label", "probability"}
        assert interrupt(process, directory) == 0


@pytest.mark.parametrize("seconds", [0.5, 3.0, 9.0])
def test_ctrl_c_at_any_moment_stops_all_of_it(tmp_path: Path, seconds: float) -> None:
    directory = tmp_path / "demo"
    with demo(directory) as process:
        time.sleep(seconds)  # any moment will do
        assert interrupt(process, directory) == 130


def test_a_folder_that_is_not_a_demo_is_left_alone(tmp_path: Path) -> None:
    directory = tmp_path / "mine"
    directory.mkdir()
    (directory / "thesis.txt").write_text("years of work")
    with demo(directory) as process:
        assert process.wait(30) == 1
    assert "--directory" in said(directory)
    assert (directory / "thesis.txt").read_text() == "years of work"
