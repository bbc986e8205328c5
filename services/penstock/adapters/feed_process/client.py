"""A replica's end: the update topic, read by a process of its own.

To take a megabyte of weights out of its record and to digest it takes milliseconds. In the replica they would be taken
from requests: one Python thread runs at a time. Another process is made to wait by the operating system, at once.
"""

import os
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace

import structlog

from penstock.adapters.feed_process.channel import Channel
from penstock.adapters.feed_process.messages import (
    Answer,
    Away,
    Failed,
    Newest,
    Poll,
    Records,
    Request,
    Sent,
    Start,
)
from penstock.adapters.feed_process.shared_bytes import mapped
from penstock.errors import ConfigurationError, UnavailableError
from penstock.flow import LogRecord, ModelUpdate
from penstock.make_way import MakeWay, go_on
from penstock.wire.model_update import decode_record

PATIENCE_SECONDS = 0.4
"""How much longer than it was given an answer may take; later it is taken up by the next call."""
START_SECONDS = 2.0
"""The same for the first one, before which the process starts."""
RESTART_SECONDS = 1.0
CLOSE_SECONDS = 2.0
"""How long the process may take to leave the broker before it is killed."""
MEMORY_KEPT = {"MALLOC_MMAP_THRESHOLD_": str(1 << 26), "MALLOC_TRIM_THRESHOLD_": str(1 << 26)}
"""mallopt(3): the process keeps what one update took for the next. To be given new pages takes a fifth of its time."""

log = structlog.get_logger(__name__)


class FeedProcess:
    """`serving.ports.UpdateFeed`. A process that was killed is started again, and reads the newest update again."""

    def __init__(
        self,
        command: Sequence[str],
        start: Start,
        *,
        on_refused: Callable[[str], None],
        make_way: MakeWay = go_on,
    ) -> None:
        """`command` runs `server.FeedServer` on the descriptor that is appended; its process is started at once.

        `on_refused` hears why records were passed over. `make_way` is called
        before an answer is read, and before its records are.
        """
        self._command = command
        self._start = start
        self._on_refused = on_refused
        self._make_way = make_way
        self._is_asked = False
        self._came_alone = False
        self._restart_at = 0.0
        self._process: subprocess.Popen[bytes] | None = None
        self._begin()

    @property
    def pid(self) -> int | None:
        """Of the process, while there is one."""
        return None if self._process is None else self._process.pid

    def newest(self) -> list[LogRecord]:
        """As `serving.ports.UpdateFeed.newest`.

        Raises:
            UnavailableError: the broker, or the process, does not answer.
            ConfigurationError: the topic has more than one partition.
        """
        records = self._asked(Newest(), self._start.timeout_seconds + START_SECONDS)
        if records is None:
            raise UnavailableError("The process that reads the update topic does not answer yet.")
        return records

    def poll(self, timeout_seconds: float) -> list[LogRecord]:
        """As `serving.ports.UpdateFeed.poll`; records from before may come again."""
        if self._came_alone and not timeout_seconds:
            self._came_alone = False
            return []  # the process looked a moment ago
        try:
            records = self._asked(Poll(timeout_seconds), timeout_seconds) or []
        except UnavailableError as error:
            log.debug("update topic away", reason=str(error))
            return []
        self._came_alone = len(records) == 1
        return records

    def close(self) -> None:
        """End the process: it leaves the broker, or is killed."""
        if self._process is None:
            return
        self._channel.close()
        try:
            self._process.wait(CLOSE_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None

    def _asked(self, request: Request, timeout_seconds: float) -> list[LogRecord] | None:
        """The answer to this request, or to one before that was late; None if there is none yet."""
        deadline = time.monotonic() + timeout_seconds
        if self._process is None and not self._begun_again(deadline):
            return None
        try:
            if not self._is_asked:
                self._channel.send(request)
                self._is_asked = True
            if not self._channel.is_readable(deadline + PATIENCE_SECONDS):
                return None
            self._make_way()
            heard = self._heard()
        except (EOFError, OSError) as error:
            self._bury(error)
            return None
        self._is_asked = False
        return [record for answer, descriptors in heard for record in self._records(answer, descriptors)]

    def _heard(self) -> list[tuple[Answer, Sequence[int]]]:
        """All messages of one answer."""
        heard: list[tuple[Answer, Sequence[int]]] = []
        while True:
            heard.append(self._channel.receive())
            answer = heard[-1][0]
            if not isinstance(answer, Records) or answer.is_last:
                return heard

    def _records(self, answer: Answer, descriptors: Sequence[int]) -> list[LogRecord]:
        if isinstance(answer, Failed):
            raise ConfigurationError(answer.sentence)
        if isinstance(answer, Away):
            raise UnavailableError(answer.sentence)
        for reason in answer.refused:
            self._on_refused(reason)
        contents = iter([mapped(descriptor) for descriptor in descriptors])
        self._make_way()
        return [_received(sent, contents) for sent in answer.records]

    def _begin(self) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            # In a process group of its own, so that Ctrl-C on the terminal reaches the replica alone; but in the same
            # session: of two sessions Linux gives each the same share, however nice one is (autogroups, sched(7)).
            self._process = subprocess.Popen(
                [*self._command, str(theirs.fileno())],
                stdin=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                process_group=0,
                env={**MEMORY_KEPT, **os.environ},
            )
        self._channel = Channel(ours, Answer)
        self._is_asked = False
        with suppress(BrokenPipeError):  # it has ended already, which is seen when it is asked
            self._channel.send(self._start)

    def _begun_again(self, deadline: float) -> bool:
        """False if it is too early for that, after some of the time until the deadline."""
        now = time.monotonic()
        if now < self._restart_at:
            time.sleep(max(min(self._restart_at, deadline) - now, 0.0))
            return False
        self._begin()
        return True

    def _bury(self, error: Exception) -> None:
        assert self._process is not None  # it was just spoken with
        self._channel.close()
        self._process.kill()  # one that only closed its end is of no more use
        code = self._process.wait()
        how = f"by signal {-code}" if code < 0 else f"with exit code {code}"
        reason = {"reason": str(error)} if str(error) else {}
        log.warning("the process that reads the update topic ended; starting it again", how=how, **reason)
        self._process = None
        self._restart_at = time.monotonic() + RESTART_SECONDS


def _received(sent: Sent, contents: Iterator[memoryview]) -> LogRecord:
    record = decode_record(sent.key, sent.value)
    if isinstance(record, ModelUpdate) and record.inline is not None:
        return replace(record, inline=next(contents), is_checked=sent.is_checked)
    if isinstance(record, ModelUpdate) and record.delta is not None:
        return replace(record, delta=replace(record.delta, content=bytes(next(contents))))
    return record
