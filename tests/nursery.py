"""Starts `penstock` commands by forking a process that has imported all of it: a kill costs no second of imports.

What runs is the whole command, in a process of its own, with its own pid, log, environment and end; only the reading of
modules is shared. The trainer's intake process comes from here too: in place of its interpreter the trainer starts
`python nursery.py intake ADDRESS …`, which hands its pipes over, waits, and ends as the real one does.
"""

import array
import gc
import importlib
import json
import os
import selectors
import signal
import socket
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

MAX_MESSAGE = 1 << 20
ENDING = (signal.SIGTERM, signal.SIGINT)
START_SECONDS = 120.0


class Nursery:
    """The client's end."""

    def __init__(self, address: str) -> None:
        self._address = address

    def start(self, arguments: Sequence[str], log: Path, environ: Mapping[str, str]) -> "Forked":
        """A `penstock` command whose standard output and standard error go to `log`."""
        with log.open("wb") as stream, Path(os.devnull).open("rb") as nothing:
            descriptors = [nothing.fileno(), stream.fileno(), stream.fileno()]
            return Forked(*_asked(self._address, {"arguments": list(arguments), "environ": dict(environ)}, descriptors))

    def run(
        self, arguments: Sequence[str], *, stdin: bytes = b"", timeout_seconds: float
    ) -> "subprocess.CompletedProcess[bytes]":
        """A `penstock` command until it ends by itself. Raises `subprocess.TimeoutExpired`; it is then killed."""
        with tempfile.TemporaryFile() as read, tempfile.TemporaryFile() as said, tempfile.TemporaryFile() as errors:
            read.write(stdin)
            read.seek(0)
            descriptors = [stream.fileno() for stream in (read, said, errors)]
            forked = Forked(*_asked(self._address, {"arguments": list(arguments), "environ": {}}, descriptors))
            try:
                code = forked.wait(timeout_seconds)
            finally:
                forked.kill()
            said.seek(0)
            errors.seek(0)
            return subprocess.CompletedProcess(list(arguments), code, said.read(), errors.read())


class Forked:
    """A process of the nursery: as much of `subprocess.Popen` as tests need."""

    def __init__(self, pid: int, connection: socket.socket) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self._connection = connection

    def poll(self) -> int | None:
        """The exit code, if it has ended."""
        try:
            return self.wait(0)
        except subprocess.TimeoutExpired:
            return None

    def wait(self, timeout: float | None = None) -> int:
        """The exit code once it has ended; negative is a signal. Raises `subprocess.TimeoutExpired`."""
        if self.returncode is None:
            self._connection.settimeout(timeout if timeout is None else max(timeout, 0.0001))
            try:
                word = self._connection.recv(64)
            except (TimeoutError, BlockingIOError):
                raise subprocess.TimeoutExpired("penstock", timeout or 0.0) from None
            assert word, "the nursery has ended"
            self.returncode = int(word)
            self._connection.close()
        return self.returncode

    def send_signal(self, number: int) -> None:
        """Unless it has ended."""
        if self.poll() is None:
            with suppress(ProcessLookupError):  # it ends at this very moment
                os.kill(self.pid, number)

    def kill(self) -> None:
        """kill -9."""
        self.send_signal(signal.SIGKILL)


@contextmanager
def nursery() -> Iterator[Nursery]:
    """A running nursery; what it has started and still runs at the end is killed."""
    with tempfile.TemporaryDirectory(prefix="nursery-") as folder:
        address = str(Path(folder, "socket"))
        process = subprocess.Popen(
            [sys.executable, __file__, "serve", address],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            start_new_session=True,  # Ctrl-C is for whoever started it
            env={**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
        )
        assert process.stdout is not None  # a pipe
        try:
            assert process.stdout.readline() == b"ready\n", "the nursery does not start"
            yield Nursery(address)
        finally:
            process.terminate()
            process.wait(START_SECONDS)
            process.stdout.close()


def _asked(address: str, what: Mapping[str, Any], descriptors: Sequence[int]) -> tuple[int, socket.socket]:
    """The pid of what was started, and where its exit code will arrive."""
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    connection.connect(address)
    passed = array.array("i", descriptors)
    connection.sendmsg([json.dumps(what).encode()], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, passed)])
    pid = int(connection.recv(64))
    return pid, connection


class _Serving:
    """Forks, and tells each client when its process has ended. One thread, so that a fork takes all of it along."""

    def __init__(self, address: str) -> None:
        self._address = address
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._listener.bind(address)
        self._listener.listen(64)
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._running: dict[int, tuple[int, socket.socket]] = {}
        """By the descriptor that is readable once the process has ended."""

    def run(self) -> None:
        while True:
            for key, _ in self._selector.select():
                if key.fileobj is self._listener:
                    self._start()
                else:
                    self._tell_ended(key.fd)

    def end(self) -> None:
        """Kill what still runs."""
        for pid, _ in self._running.values():
            os.kill(pid, signal.SIGKILL)

    def _start(self) -> None:
        connection, _ = self._listener.accept()
        message, ancillary, _, _ = connection.recvmsg(MAX_MESSAGE, socket.CMSG_SPACE(64 * array.array("i").itemsize))
        descriptors = array.array("i")
        for _, _, data in ancillary:
            descriptors.frombytes(data)
        signal.pthread_sigmask(signal.SIG_BLOCK, ENDING)  # ours are no business of the child
        pid = os.fork()
        if pid == 0:
            self._become(json.loads(message), list(descriptors), connection)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, ENDING)
        for descriptor in descriptors:
            os.close(descriptor)
        ended = os.pidfd_open(pid)
        self._selector.register(ended, selectors.EVENT_READ)
        self._running[ended] = (pid, connection)
        connection.send(str(pid).encode())

    def _tell_ended(self, ended: int) -> None:
        self._selector.unregister(ended)
        os.close(ended)
        pid, connection = self._running.pop(ended)
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        with suppress(OSError):  # nobody waits for it
            connection.send(str(code).encode())
        connection.close()

    def _become(self, what: Mapping[str, Any], descriptors: list[int], connection: socket.socket) -> None:
        """In the child: the process that was asked for, from which nobody returns."""
        code = 1
        try:
            os.setsid()
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, ENDING)
            self._selector.close()
            self._listener.close()
            connection.close()
            for inherited in self._running:
                os.close(inherited)
            for _, other in self._running.values():
                other.close()
            for target, descriptor in enumerate(descriptors[:3]):
                os.dup2(descriptor, target)
            os.environ.update(what["environ"])
            from forked_changes import change_this_process  # which the relay, isolated, could not find

            change_this_process(os.environ)
            code = _run(what["arguments"], descriptors[3:], self._address)
        except SystemExit as error:
            code = error.code if isinstance(error.code, int) else 1
        except BaseException:  # what an interpreter does with it
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)


def _run(arguments: list[str], more_descriptors: list[int], address: str) -> int:
    if arguments[0] == "intake":
        from penstock.processes import intake, logs

        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        logs.configure()
        intake.run(more_descriptors[0])
        return 0
    from penstock.processes import cli
    from penstock.processes.trainer import parts

    vars(parts)["INTAKE_COMMAND"] = (sys.executable, "-I", "-S", __file__, "intake", address)
    sys.argv = ["penstock", *arguments]
    cli.main()
    return 0


def _serve(address: str) -> None:
    for module in ("cli", "intake", "replica.run", "trainer.run"):
        importlib.import_module(f"penstock.processes.{module}")
    vars(importlib.import_module("mlflow"))["MlflowClient"]  # what a trainer with a record would import
    serving = _Serving(address)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    gc.collect()
    gc.freeze()
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    try:
        serving.run()
    finally:
        serving.end()


def _relay(address: str, acknowledgements: int) -> int:
    """In place of the intake process: it gets this one's pipes; ends when it does, with its exit code."""
    _, connection = _asked(address, {"arguments": ["intake"], "environ": dict(os.environ)}, [0, 1, 2, acknowledgements])
    for descriptor in (0, 1, acknowledgements):
        os.close(descriptor)
    code = int(connection.recv(64) or b"1")
    if code < 0:
        os.kill(os.getpid(), -code)
    return code


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        _serve(sys.argv[2])
    else:
        sys.exit(_relay(sys.argv[2], int(sys.argv[3])))
