"""Child processes that end with the demo, however it ends."""

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from penstock.errors import StopError

PR_SET_PDEATHSIG = 1
TERM_SECONDS = 1.5
LOG_TAIL_LINES = 5


class Children:
    """Starts `penstock` commands, each with its log file, and ends them all at once."""

    def __init__(self, logs: Path) -> None:
        self._logs = logs
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        logs.mkdir(parents=True, exist_ok=True)

    def start(self, name: str, arguments: Sequence[str]) -> None:
        """Run `penstock ARGUMENTS` in the background, in a session of its own: Ctrl-C reaches the demo alone."""
        with (self._logs / f"{name}.log").open("wb") as log:
            self._processes[name] = subprocess.Popen(
                [sys.executable, "-m", "penstock.processes.cli", *arguments],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=_die_with_parent,
                env={**os.environ, "OMP_NUM_THREADS": "1"},
            )

    def check(self) -> None:
        """Raises `StopError` with the end of its log if a child has ended by itself."""
        for name, process in self._processes.items():
            if process.poll() is not None:
                tail = (self._logs / f"{name}.log").read_text(errors="replace").splitlines()[-LOG_TAIL_LINES:]
                raise StopError(f"{name} ended with exit code {process.returncode}; its log ends:\n" + "\n".join(tail))

    def stop(self) -> None:
        """SIGTERM to all, then SIGKILL to what has not ended in time."""
        for process in self._processes.values():
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(signal.SIGTERM)
        deadline = time.monotonic() + TERM_SECONDS
        for process in self._processes.values():
            try:
                process.wait(max(deadline - time.monotonic(), 0))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self._processes.clear()


def _die_with_parent() -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
