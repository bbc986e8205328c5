"""A second feed process, which computes only while nobody else wants the core: in the scheduler's idle class.

A process that is merely nice goes on for a slice of a millisecond or more before one that wakes beside it; one of the
idle class (`SCHED_IDLE`, sched(7)) gives way at once. The price is that it gets next to nothing where cores are never
free, so whoever asks it must not rely on it.
"""

import os
import signal
import socket
import time
from collections.abc import Callable, Sequence
from contextlib import suppress

import structlog

from penstock.adapters.feed_process.channel import Channel
from penstock.adapters.feed_process.messages import Answer, Newest, Poll, Records, Request, Start

PATIENCE_SECONDS = 0.05
"""How much longer than it was given an answer may take. A core that is half free has time for a megabyte of weights in
a fifth of this."""

NEWEST_SECONDS = 0.3
"""To connect to the broker and to find the newest update."""
BUSY_SECONDS = 5.0
"""Once it was late, nobody asks it for so long: to begin to read in its place takes time, too."""

log = structlog.get_logger(__name__)

Heard = tuple[Answer, Sequence[int]]
"""A message and its descriptors, which are the hearer's to close or to send on."""


class IdleProcess:
    """Forked at once, so from a process that has no threads yet. Ends when it is left, or when its parent has gone."""

    def __init__(self, serve: Callable[[Channel], None], inherited: Sequence[int] = ()) -> None:
        """`serve` is what it does with its end of a channel; `inherited` are descriptors that it must not keep open.

        Raises:
            OSError: the system has no such class, or no room for another process.
        """
        if not hasattr(os, "SCHED_IDLE"):
            raise OSError("this system has no idle class of processes")
        ours, theirs = socket.socketpair()
        self.pid = os.fork()
        if not self.pid:
            ours.close()
            for descriptor in inherited:
                os.close(descriptor)
            _end_after(serve, Channel(theirs, Request))
        theirs.close()
        self._channel = Channel(ours, Answer)
        self._is_behind = False
        self._busy_until = 0.0
        self._has_ended = False

    def start(self, start: Start) -> None:
        """To be called first, once."""
        with suppress(BrokenPipeError):  # which is seen when it is asked
            self._channel.send(start)

    def asked(self, request: Newest | Poll) -> list[Heard] | None:
        """All messages of its answer, or of one before that was late; None if there is none in time, or no more."""
        now = time.monotonic()
        if self._has_ended or now < self._busy_until:
            return None
        try:
            if not self._is_behind:
                self._channel.send(request)
            self._is_behind = not self._channel.is_readable(now if self._is_behind else now + _seconds_for(request))
            if self._is_behind:
                self._busy_until = time.monotonic() + BUSY_SECONDS
                return None
            return self._heard()
        except (EOFError, OSError) as error:
            log.warning("updates are not read in idle time any more", reason=str(error) or "the process ended")
            self.end()
            return None

    def end(self) -> None:
        """At once."""
        if self._has_ended:
            return
        self._has_ended = True
        self._channel.close()
        with suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)
        with suppress(ChildProcessError):
            os.waitpid(self.pid, 0)

    def _heard(self) -> list[Heard]:
        heard: list[Heard] = []
        while True:
            heard.append(self._channel.receive())
            answer = heard[-1][0]
            if not isinstance(answer, Records) or answer.is_last:
                return heard


def _seconds_for(request: Newest | Poll) -> float:
    return request.timeout_seconds + PATIENCE_SECONDS if isinstance(request, Poll) else NEWEST_SECONDS


def _end_after(serve: Callable[[Channel], None], channel: Channel) -> None:
    try:
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
        serve(channel)
    finally:
        os._exit(0)  # nothing of what the parent has set up is ended twice
