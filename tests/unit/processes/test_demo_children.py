"""What the demo starts ends with it, however it ends."""

import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from configurations import configuration
from penstock.errors import StopError
from penstock.processes.demo.children import Children
from waiting import wait_for

PARENT = """
import sys
from pathlib import Path
from penstock.processes.demo.children import Children
Children(Path(sys.argv[1])).start("replica", ["serve", "--config", sys.argv[2]])
sys.stdin.read()  # until it is killed, or whoever started it has ended
"""


@pytest.fixture
def config(tmp_path: Path, unused_address: str) -> Path:
    """Of a replica that waits for its broker for ever."""
    file = tmp_path / "penstock.toml"
    file.write_text(configuration("m", unused_address, tmp_path / "state"))
    return file


def replica_of(parent: int, config: Path) -> psutil.Process | None:
    """Once it runs its own program: until then it is a copy of its parent."""
    wanted = ["serve", "--config", str(config)]
    return next((each for each in psutil.Process(parent).children() if each.cmdline()[-3:] == wanted), None)


def has_ended(process: psutil.Process) -> bool:
    return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE


def test_children_of_a_demo_that_is_killed_are_killed_too(tmp_path: Path, config: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", PARENT, str(tmp_path / "logs"), str(config)], stdin=subprocess.PIPE
    ) as parent:
        try:
            child = wait_for(lambda: replica_of(parent.pid, config), "it has started a child", every_seconds=0.01)
        finally:
            parent.kill()
    try:
        wait_for(lambda: has_ended(child), "the child ends", 20, every_seconds=0.01)
    finally:
        if not has_ended(child):
            child.kill()


def test_all_are_gone_once_they_were_stopped_and_one_that_ended_by_itself_is_named(
    tmp_path: Path, config: Path
) -> None:
    children = Children(tmp_path / "logs")
    try:
        children.start("replica", ["serve", "--config", str(config)])
        children.check()
        replica = wait_for(lambda: replica_of(os.getpid(), config), "it runs", every_seconds=0.01)
        children.start("broken", ["serve", "--config", str(tmp_path / "nowhere.toml")])

        def sentence() -> str:
            try:
                children.check()
            except StopError as error:
                return str(error)
            return ""

        said = wait_for(sentence, "a child has ended")
        assert said.startswith("broken ended with exit code 1; its log ends:\npenstock: There is no configuration file")
    finally:
        children.stop()
    assert has_ended(replica)
    children.check()
