"""The process that reads the update topic goes on, whatever it has read."""

import socket
from collections.abc import Iterator
from dataclasses import replace
from threading import Thread

import pytest

from penstock.adapters.feed_process.channel import Channel
from penstock.adapters.feed_process.messages import Answer, Newest, Records, Request, Start
from penstock.adapters.feed_process.server import UNSENT, FeedServer
from penstock.adapters.feed_process.shared_bytes import mapped
from penstock.flow import LogRecord
from penstock.wire.model_update import decode_record
from update_records import update_of

GOOD = [update_of("m", version=1), update_of("m", version=3)]
UNFIT = replace(update_of("m", version=2), announced_at_ms=10**18)
"""Of an instant that no text says."""


class FixedFeed:
    """`serving.ports.UpdateFeed` of three records, the second of which cannot be handed on."""

    def newest(self) -> list[LogRecord]:
        return [GOOD[0], UNFIT, GOOD[1]]

    def poll(self, timeout_seconds: float) -> list[LogRecord]:
        return []

    def close(self) -> None:
        return


@pytest.fixture
def replica() -> Iterator[Channel]:
    """The replica's end."""
    ours, theirs = socket.socketpair()
    served = FeedServer(Channel(theirs, Request), lambda _start, _refused: FixedFeed())
    thread = Thread(target=served.serve)
    thread.start()
    channel = Channel(ours, Answer)
    channel.send(Start(model="m", kafka={}, timeout_seconds=5))
    yield channel
    channel.close()
    thread.join()
    theirs.close()


def test_a_record_that_cannot_be_handed_on_costs_that_record(replica: Channel) -> None:
    for _ in range(2):
        replica.send(Newest())
        answer, descriptors = replica.receive()
        assert isinstance(answer, Records)
        found = [decode_record(sent.key, sent.value) for sent in answer.records]
        assert [getattr(record, "version", None) for record in found] == [1, 3]
        assert answer.refused == (UNSENT,)
        assert [bytes(mapped(descriptor)) for descriptor in descriptors] == [b"weights", b"weights"]
