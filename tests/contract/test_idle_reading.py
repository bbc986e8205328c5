"""Weights are read while nobody else wants the core, but never much later for that."""

import itertools
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from kafka_brokers import Broker, produce
from penstock.adapters.feed_process.client import FeedProcess
from penstock.adapters.feed_process.idle_process import PATIENCE_SECONDS
from penstock.flow import ModelUpdate
from penstock.wire.model_update import encode_record
from served_models import update_of as update_with_weights
from served_models import with_tensors_spoilt
from update_feeds import in_a_process
from update_records import update_of, write_as_another
from waiting import wait_for

LARGE_BYTES = 700_000
"""A message of base64 may have a million."""


@pytest.fixture
def feed(broker: Broker, model: str) -> Iterator[FeedProcess]:
    """Of the model's topic, which is empty; closed at the end."""
    feed = in_a_process(broker.options, model)
    assert feed.newest() == []
    yield feed
    feed.close()


def idle_process_of(feed: FeedProcess) -> psutil.Process:
    assert feed.pid is not None
    (process,) = psutil.Process(feed.pid).children()
    return process


def large(model: str, version: int) -> ModelUpdate:
    return update_of(model, version=version, inline=os.urandom(LARGE_BYTES))


def followed(feed: FeedProcess, broker: Broker, update: ModelUpdate) -> float:
    """That it comes when it is written to the topic, and after how many seconds."""
    write_as_another(broker.bootstrap_servers, update.model, update)
    began = time.monotonic()
    wait_for(lambda: update in feed.poll(0.2), "the update comes")
    return time.monotonic() - began


def has_read(reader: psutil.Process, feed: FeedProcess, broker: Broker, model: str) -> None:
    """Wait until it has, which on a busy machine is late."""
    before, versions = sum(reader.cpu_times()[:2]), itertools.count(10)

    def reads() -> bool:
        followed(feed, broker, large(model, next(versions)))
        return bool(sum(reader.cpu_times()[:2]) > before + 0.02)

    wait_for(reads, "it reads")


def test_a_process_of_the_idle_class_reads_for_the_feed_process(broker: Broker, model: str, feed: FeedProcess) -> None:
    reader = idle_process_of(feed)
    assert os.sched_getscheduler(reader.pid) == os.SCHED_IDLE
    has_read(reader, feed, broker, model)


def test_what_it_has_read_comes_checked(broker: Broker, model: str, feed: FeedProcess) -> None:
    good = with_tensors_spoilt(update_with_weights(1), lambda head: head.repeat(LARGE_BYTES // head.nbytes + 1, axis=0))
    assert good.inline is not None
    assert len(good.inline) > LARGE_BYTES
    for version, sha256 in ((1, good.sha256), (2, "0" * 64)):
        update = replace(good, model=model, version=version, sha256=sha256)
        write_as_another(broker.bootstrap_servers, model, update)
        came = wait_for(lambda: feed.poll(0.2), "the update comes")[0]
        assert isinstance(came, ModelUpdate)
        assert came == update
        assert came.is_checked == (sha256 == good.sha256)


def test_where_the_core_is_never_free_the_feed_process_reads_itself_and_is_read_for_again_later(
    broker: Broker, model: str, feed: FeedProcess
) -> None:
    reader = idle_process_of(feed)
    reader.suspend()
    try:
        for version in (1, 2, 3):
            followed(feed, broker, large(model, version))
    finally:
        reader.resume()
    has_read(reader, feed, broker, model)


def test_only_the_first_text_is_waited_for_while_it_is_behind(broker: Broker, model: str, feed: FeedProcess) -> None:
    idle_process_of(feed).suspend()
    followed(feed, broker, large(model, 1))
    took = min(followed(feed, broker, large(model, version)) for version in range(2, 6))
    assert took < PATIENCE_SECONDS


def test_when_it_is_killed_updates_come_on(broker: Broker, model: str, feed: FeedProcess) -> None:
    reader = idle_process_of(feed)
    reader.kill()
    followed(feed, broker, large(model, 1))
    wait_for(lambda: not reader.is_running(), "it leaves nothing behind")
    followed(feed, broker, large(model, 2))


def test_text_that_cannot_be_read_in_pieces_is_read_whole(broker: Broker, model: str, feed: FeedProcess) -> None:
    update = large(model, 1)
    key, value = encode_record(update, model)
    assert value is not None
    begins = value.index(b'"inline":"') + len(b'"inline":"')
    escaped = value[:begins] + f"\\u{value[begins]:04x}".encode() + value[begins + 1 :]
    produce(broker.bootstrap_servers, f"{model}.updates", [escaped], key=key)
    wait_for(lambda: feed.poll(0.2) == [update], "the update comes")


@pytest.mark.parametrize("ended", ["closed", "killed", "its replica killed"])
def test_it_ends_with_the_feed_process(broker: Broker, model: str, tmp_path: Path, ended: str) -> None:
    script = tmp_path / "replica.py"
    script.write_text(
        "import signal; from update_feeds import in_a_process\n"
        f"feed = in_a_process({{'bootstrap.servers': {broker.bootstrap_servers!r}}}, {model!r})\n"
        "feed.newest(); print(feed.pid, flush=True); input(); feed.close()\n"
    )
    environ = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    with subprocess.Popen(
        [sys.executable, str(script)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environ
    ) as replica:
        assert replica.stdout is not None
        assert replica.stdin is not None
        feed = psutil.Process(int(replica.stdout.readline()))
        (reader,) = feed.children()
        if ended == "killed":
            os.kill(feed.pid, signal.SIGKILL)
        elif ended == "its replica killed":
            replica.kill()
        else:
            replica.stdin.write(b"\n")
        replica.stdin.close()
        wait_for(lambda: not reader.is_running() or reader.status() == psutil.STATUS_ZOMBIE, "it ends, too")
