"""The feed process, a child of a replica's: wiring only. Reads the update topic, decodes and digests.

It has no say: it answers when it is asked what is new, and ends with the replica.
"""

import gc
import os
import signal
import socket
import sys
from collections.abc import Callable
from contextlib import suppress

from penstock.adapters.feed_process.channel import Channel
from penstock.adapters.feed_process.messages import Request, Start
from penstock.adapters.feed_process.server import FeedServer
from penstock.adapters.kafka.update_feed import KafkaUpdateFeed
from penstock.processes import logs
from penstock.serving.ports import UpdateFeed
from penstock.wire.signature import SigningKeys

COMMAND = (sys.executable, "-m", "penstock.processes.feed")
NICENESS = 10
"""Requests first: a replica that wakes on this core takes it, and one that is never idle leaves some of it."""


def run(descriptor: int) -> None:
    """Serve the replica at the other end of this socket."""
    with suppress(OSError):  # where priorities are not ours to give it only disturbs more
        os.nice(NICENESS)
    gc.freeze()
    FeedServer(Channel(socket.socket(fileno=descriptor), Request), _opened, make_way).serve()


def make_way() -> None:
    """Whatever else waits for this core is better off before the next step: a system lets a step go on for long."""
    if hasattr(os, "sched_yield"):
        os.sched_yield()


def _opened(start: Start, on_refused: Callable[[str], None]) -> UpdateFeed:
    return KafkaUpdateFeed(
        start.kafka,
        start.model,
        timeout_seconds=start.timeout_seconds,
        signing_keys=SigningKeys(start.signing_keys) if start.signing_keys else None,
        on_refused=on_refused,
        make_way=make_way,
    )


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # it ends with the replica, which alone is told to stop
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    logs.configure()
    run(int(sys.argv[1]))
