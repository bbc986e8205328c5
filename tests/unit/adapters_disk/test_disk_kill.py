"""`kill -9` at any moment: the newest whole checkpoint loads, the last one that was reported saved or a later one."""

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import checkpoint_writer
from penstock.adapters.disk.checkpoints import DiskCheckpoints
from penstock.errors import StateError
from sample_checkpoints import MODEL, SCHEMA, all_touched, assert_same, checkpoint_of, rows_by_writer

KILLS = 40
DEADLINE_SECONDS = 60.0


@pytest.fixture
def writers(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, checkpoint_writer.__file__, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        bufsize=1,
    )
    with process:
        yield process
        assert process.stdin is not None
        process.stdin.close()


def start_writer(writers: subprocess.Popen[str]) -> int:
    assert writers.stdin is not None
    writers.stdin.write("go\n")
    return next_line(writers, "started")


def next_line(writers: subprocess.Popen[str], what: str) -> int:
    """The number in the next line that begins with `what`."""
    assert writers.stdout is not None
    for line in writers.stdout:
        if line.startswith(what):
            return int(line.split()[1])
    raise AssertionError("the writer ended")


def kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)
    deadline = time.monotonic() + DEADLINE_SECONDS
    while Path(f"/proc/{pid}").exists():
        assert time.monotonic() < deadline
        time.sleep(0.001)


def last_saved(writers: subprocess.Popen[str]) -> int:
    """Steps reported saved so far; the writer is dead, so the pipe is drained without waiting."""
    assert writers.stdout is not None
    os.set_blocking(writers.stdout.fileno(), False)
    try:
        lines = [line for line in writers.stdout if line.startswith("saved") and line.endswith("\n")]
    finally:
        os.set_blocking(writers.stdout.fileno(), True)
    return int(lines[-1].split()[1]) if lines else 0


def test_a_writer_killed_at_random_moments_always_leaves_its_newest_whole_checkpoint(
    tmp_path: Path, writers: subprocess.Popen[str]
) -> None:
    moments = random.Random(20)
    step = 0
    for attempt in range(KILLS):
        pid = start_writer(writers)
        reported = next_line(writers, "saved") if attempt % 2 else 0
        time.sleep(moments.uniform(0.0, 0.06))
        kill(pid)
        reported = max(reported, last_saved(writers))
        store = DiskCheckpoints(tmp_path, model=MODEL, schema_digest=SCHEMA, kept=3)
        found = store.load_newest()
        store.close()
        at_least, step = max(step, reported), found.step if found else 0
        assert step >= at_least
        if found is not None:
            assert_same(found, checkpoint_of(step, rows_by_writer(all_touched(step), full=True)))
    assert step >= KILLS // 2


def test_a_second_process_is_refused_with_the_pid_of_the_first_until_that_dies(
    tmp_path: Path, writers: subprocess.Popen[str]
) -> None:
    pid = start_writer(writers)
    store = DiskCheckpoints(tmp_path, model=MODEL, schema_digest=SCHEMA, kept=3)
    with pytest.raises(StateError, match=rf"in use by another trainer \(pid {pid} on "):
        store.load_newest()
    kill(pid)
    store.load_newest()
    store.close()
