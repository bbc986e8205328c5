"""`penstock serve --processes N`: several replica processes on the same ports, started and watched by this one.

Each follows the update topic and infers for itself. One that was killed is started again, with a warning; one that ends
by itself cannot serve, and the others end with it.
"""

import os
import selectors
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import FrameType

import structlog

from penstock.adapters.http.sockets import reserved_socket
from penstock.processes.replica.group_member import COMMAND
from penstock.serving.config import ServingConfig

RESTART_SECONDS = 1.0
"""From the death of a process to the start of the next in its place."""

log = structlog.get_logger(__name__)


def run(config: Path, serving: ServingConfig) -> int:
    """Until SIGTERM or Ctrl-C, which all processes then get, or until one of them cannot serve; returns the exit code.

    Raises:
        ConfigurationError: a port cannot be listened on.
    """
    with ExitStack() as resources:
        folder = Path(resources.enter_context(tempfile.TemporaryDirectory(prefix="penstock-")))
        ports = {"port": resources.enter_context(reserved_socket(serving.host, serving.port))}
        if serving.grpc_port != "off":
            ports["grpc_port"] = resources.enter_context(reserved_socket(serving.host, serving.grpc_port, "grpc_port"))
        group = _Group(config, folder, serving, ports)
        group.start(serving.processes)
        return group.watch()


class _Group:
    def __init__(self, config: Path, folder: Path, serving: ServingConfig, ports: Mapping[str, socket.socket]) -> None:
        self._config, self._folder = config, folder
        self._environ = _environ(serving, ports)
        self._members: dict[int, subprocess.Popen[bytes]] = {}
        self._due: dict[int, float] = {}
        self._stopping = False
        self._told: set[int] = set()
        self._exit_code = 0
        self._waker, woken = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._waker, selectors.EVENT_READ)
        signal.set_wakeup_fd(woken, warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)
        signal.signal(signal.SIGCHLD, _wake)

    def start(self, num_processes: int) -> None:
        """All of them; the first says from the beginning that the replica is alive."""
        for number in range(num_processes):
            self._start(number, "NOW" if number == 0 else "READY")
        log.info("replica processes started", processes=num_processes, pids=self._pids())

    def watch(self) -> int:
        """Until all have ended; returns the exit code."""
        while self._members or (self._due and not self._stopping):
            if self._stopping:
                self._tell_to_stop()
            pause = min(self._due.values(), default=time.monotonic() + 60) - time.monotonic()
            self._selector.select(max(pause, 0.0))
            self._swallow_wakeups()
            self._bury()
            self._start_again()
        return self._exit_code

    def _start(self, number: int, when: str) -> None:
        # In a session of its own, so that Ctrl-C on the terminal reaches this process alone; its standard input ends
        # with this process, and it then ends, too.
        self._members[number] = subprocess.Popen(
            [*COMMAND, str(self._config), str(number), str(self._folder), when],
            stdin=subprocess.PIPE,
            env=self._environ,
            start_new_session=True,
        )

    def _bury(self) -> None:
        for number, process in list(self._members.items()):
            code = process.poll()
            if code is None:
                continue
            del self._members[number]
            assert process.stdin is not None  # a pipe
            process.stdin.close()
            if self._stopping:
                stopped_well = code in (0, -signal.SIGTERM)  # the latter before it had so much as begun
                self._exit_code = self._exit_code or int(not stopped_well)
            elif code < 0:
                log.warning("a replica process was killed; starting it again", process=number, signal=-code)
                self._due[number] = time.monotonic() + RESTART_SECONDS
            else:
                log.error("a replica process cannot serve; stopping the others", process=number, exit_code=code)
                self._exit_code = 1
                self._stopping = True

    def _start_again(self) -> None:
        for number, at in list(self._due.items()):
            if self._stopping or at > time.monotonic():
                continue
            del self._due[number]
            self._start(number, "NOW" if not self._members else "READY")
            log.info("replica processes started", processes=1, pids=self._pids())

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        if self._stopping:
            for process in self._members.values():
                process.kill()
            os._exit(128 + number)
        log.info("replica processes stopping", signal=signal.Signals(number).name)
        self._stopping = True

    def _tell_to_stop(self) -> None:
        """Each of them once; not from the signal's handler, which may come while one is being started."""
        for number in self._members.keys() - self._told:
            self._members[number].send_signal(signal.SIGTERM)
            self._told.add(number)

    def _swallow_wakeups(self) -> None:
        try:
            os.read(self._waker, 4096)
        except BlockingIOError:
            return

    def _pids(self) -> Sequence[int]:
        return [process.pid for process in self._members.values()]


def _environ(serving: ServingConfig, ports: Mapping[str, socket.socket]) -> dict[str, str]:
    """What was decided here, over whatever the configuration says."""
    decided = {"host": serving.host, **{key: str(bound.getsockname()[1]) for key, bound in ports.items()}}
    return {**os.environ, **{f"PENSTOCK_SERVING__{key.upper()}": value for key, value in decided.items()}}


def _wake(_number: int, _frame: FrameType | None) -> None:
    """A child has ended: that the signal is handled at all writes to the wakeup descriptor."""
