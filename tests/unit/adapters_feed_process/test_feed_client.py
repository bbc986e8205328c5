"""The replica's end of a feed process: when it asks, and what it gives the process it starts."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from penstock.adapters.feed_process import client
from penstock.adapters.feed_process.client import MEMORY_KEPT, FeedProcess
from penstock.adapters.feed_process.messages import Start
from penstock.flow import Claim

COUNTING = """
import socket, sys
from penstock.adapters.feed_process.channel import Channel
from penstock.adapters.feed_process.messages import Records, Request, Sent
from penstock.flow import Claim
from penstock.wire.model_update import encode_record

channel, asked = Channel(socket.socket(fileno=int(sys.argv[1])), Request), 0
channel.receive()
while True:
    try:
        channel.receive()
    except EOFError:
        break
    asked += 1
    claims = [encode_record(Claim(epoch=asked, holder="counting"), "m")] * (2 if asked == 1 else 1)
    channel.send(Records(records=tuple(Sent(key=key, value=value) for key, value in claims)))
"""
"""Answers the first question with two claims and every other with one, of the question's number."""


@pytest.fixture
def ways() -> list[None]:
    """One for each time that way was made."""
    return []


@pytest.fixture
def feed(monkeypatch: pytest.MonkeyPatch, ways: list[None]) -> Iterator[FeedProcess]:
    """Of a process that counts how often it was asked."""
    monkeypatch.setattr(client, "PATIENCE_SECONDS", 60.0)
    monkeypatch.setenv("MALLOC_TRIM_THRESHOLD_", "131072")
    feed = FeedProcess(
        (sys.executable, "-c", COUNTING),
        Start(model="m", kafka={}, timeout_seconds=5),
        on_refused=print,
        make_way=lambda: ways.append(None),
    )
    yield feed
    feed.close()


def test_it_asks_on_after_records_that_came_together_but_not_at_once_after_one_that_came_alone(
    feed: FeedProcess,
) -> None:
    assert [feed.poll(0) for _ in range(5)] == [claims(1, 1), claims(2), [], claims(3), []]


def test_who_has_time_to_wait_always_asks(feed: FeedProcess) -> None:
    assert [feed.poll(0.01) for _ in range(3)] == [claims(1, 1), claims(2), claims(3)]


def test_way_is_made_before_an_answer_is_read_and_before_its_records_are(feed: FeedProcess, ways: list[None]) -> None:
    feed.poll(0.01)
    assert len(ways) == 2


def test_the_process_keeps_its_memory_unless_the_operator_has_said_otherwise(feed: FeedProcess) -> None:
    entries = Path(f"/proc/{feed.pid}/environ").read_bytes().split(b"\0")
    given = dict(entry.split(b"=", 1) for entry in entries if entry)
    assert given[b"MALLOC_MMAP_THRESHOLD_"].decode() == MEMORY_KEPT["MALLOC_MMAP_THRESHOLD_"]
    assert given[b"MALLOC_TRIM_THRESHOLD_"] == b"131072"


def claims(*epochs: int) -> list[Claim]:
    return [Claim(epoch=epoch, holder="counting") for epoch in epochs]
