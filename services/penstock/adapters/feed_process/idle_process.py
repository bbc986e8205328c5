"""A process that takes weights out of their text while nobody else wants the core: in the scheduler's idle class.

A process that is merely nice goes on for a slice of a millisecond or more before one that wakes beside it; one of the
idle class (`SCHED_IDLE`, sched(7)) gives way at once. The price is that it gets next to nothing where cores are never
free, so whoever asks it must not rely on it.
"""

import os
import signal
import socket
from collections.abc import Sequence
from contextlib import suppress

import structlog

from penstock.adapters.feed_process.channel import Channel
from penstock.adapters.feed_process.idle_messages import Outcome, Read, Text, Unread
from penstock.adapters.feed_process.shared_bytes import mapped
from penstock.adapters.feed_process.shared_weights import shared_weights
from penstock.make_way import MakeWay
from penstock.wire.inline_weights import read_in_pieces

log = structlog.get_logger(__name__)


class IdleProcess:
    """Forked at once: from a process that has no threads yet. Ends when it is left, or when its parent has gone."""

    def __init__(self, make_way: MakeWay, inherited: Sequence[int] = ()) -> None:
        """`inherited` are descriptors that it must not keep open. `make_way` is called between its steps.

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
            _end_after(Channel(theirs, Text), make_way)
        theirs.close()
        self.channel = Channel(ours, Outcome)

    def end(self) -> None:
        """At once."""
        self.channel.close()
        with suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)
        with suppress(ChildProcessError):
            os.waitpid(self.pid, 0)


def _end_after(channel: Channel, make_way: MakeWay) -> None:
    try:
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
        serve(channel, make_way)
    finally:
        os._exit(0)  # nothing of what the parent has set up is ended twice


def serve(channel: Channel, make_way: MakeWay) -> None:
    """Read texts until nobody is at the other end any more."""
    with suppress(EOFError, BrokenPipeError):
        while True:
            _, (descriptor,) = channel.receive()
            channel.send(*_outcome(descriptor, make_way))


def _outcome(descriptor: int, make_way: MakeWay) -> tuple[Outcome, list[int]]:
    try:
        content = read_in_pieces(mapped(descriptor), make_way)
        if content is None:
            return Unread(), []
        found = shared_weights(content, make_way)
    except Exception:  # whoever asked reads it again, and says what is wrong with it
        log.exception("weights could not be read aside")
        return Unread(), []
    said = Read(sha256=found.sha256, size_bytes=found.size_bytes, is_finite=found.is_finite)
    return said, [found.descriptor]
