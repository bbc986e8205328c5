"""The update topic read in a process of its own: what a replica is promised of it beyond the feed's own contract."""

import hashlib
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from kafka_brokers import Broker
from penstock.adapters.feed_process import client
from penstock.adapters.feed_process.client import FeedProcess
from penstock.flow import LogRecord, ModelUpdate
from penstock.learning.weights_content import MemoryContent
from penstock.learning.weights_layout import ALIGNMENT, Layout
from penstock.processes.feed import NICENESS
from served_models import update_of as update_with_weights
from served_models import with_tensors_spoilt
from update_feeds import in_a_process
from update_records import delta_of, update_of, write_as_another
from waiting import wait_for


@pytest.fixture
def feed(broker: Broker, model: str) -> Iterator[FeedProcess]:
    """Of the model's topic, closed at the end."""
    feed = in_a_process(broker.options, model)
    yield feed
    feed.close()


@contextmanager
def no_more_files() -> Iterator[None]:
    """None can be opened by this process."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(
        resource.RLIMIT_NOFILE, (max(int(each.name) for each in Path("/proc/self/fd").iterdir()) + 1, hard)
    )
    held: list[int] = []
    try:
        with suppress(OSError):
            while True:
                held.append(os.open(os.devnull, os.O_RDONLY))
        yield
    finally:
        for descriptor in held:
            os.close(descriptor)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def process_of(feed: FeedProcess) -> psutil.Process:
    assert feed.pid is not None
    return psutil.Process(feed.pid)


def polled(feed: FeedProcess, count: int = 1) -> list[LogRecord]:
    found: list[LogRecord] = []

    def came() -> bool:
        found.extend(feed.poll(0.2))
        return len(found) >= count

    wait_for(came, f"{count} records")
    return found


def test_weights_come_checked_and_lie_as_torch_lays_its_own(broker: Broker, model: str, feed: FeedProcess) -> None:
    update = replace(update_with_weights(1), model=model)
    write_as_another(broker.bootstrap_servers, model, update)
    (came,) = feed.newest()
    assert isinstance(came, ModelUpdate)
    assert isinstance(came.inline, memoryview)
    assert came.is_checked
    assert came.inline == update.inline
    first = next(iter(Layout.of(MemoryContent(came.inline)).places.values()))
    assert np.frombuffer(came.inline, np.uint8)[first.begin :].ctypes.data % ALIGNMENT == 0


@pytest.mark.parametrize("said", [{"sha256": hashlib.sha256(b"others").hexdigest()}, {"size_bytes": 3}])
def test_weights_that_are_not_those_announced_come_too_and_nobody_says_they_were_checked(
    broker: Broker, model: str, feed: FeedProcess, said: dict[str, Any]
) -> None:
    write_as_another(broker.bootstrap_servers, model, replace(update_with_weights(1), model=model, **said))
    (came,) = feed.newest()
    assert isinstance(came, ModelUpdate)
    assert not came.is_checked


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_weights_with_a_number_that_is_not_finite_come_too_and_nobody_says_they_were_checked(
    broker: Broker, model: str, feed: FeedProcess, value: float
) -> None:
    update = with_tensors_spoilt(
        update_with_weights(1), lambda head: np.append(head.ravel()[1:], value).reshape(head.shape)
    )
    write_as_another(broker.bootstrap_servers, model, replace(update, model=model))
    (came,) = feed.newest()
    assert isinstance(came, ModelUpdate)
    assert not came.is_checked


def test_after_a_record_that_came_alone_the_process_is_not_asked_at_once_for_more_but_then_it_is(
    broker: Broker, model: str, feed: FeedProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert feed.newest() == []
    write_as_another(broker.bootstrap_servers, model, update_of(model, version=1))
    assert len(polled(feed)) == 1
    monkeypatch.setattr(client, "PATIENCE_SECONDS", 60.0)
    process_of(feed).suspend()  # what is asked of it now would take so long
    began = time.monotonic()
    assert feed.poll(0) == []
    assert time.monotonic() - began < 30
    process_of(feed).resume()
    write_as_another(broker.bootstrap_servers, model, update_of(model, version=2))
    wait_for(lambda: feed.poll(0) == [update_of(model, version=2)], "it is asked again, without a wait")


def test_what_was_written_into_the_weights_of_one_is_not_seen_by_the_next(
    broker: Broker, model: str, feed: FeedProcess
) -> None:
    write_as_another(broker.bootstrap_servers, model, update_of(model, version=1))
    (came,) = feed.newest()
    assert isinstance(came, ModelUpdate)
    assert isinstance(came.inline, memoryview)
    came.inline[:4] = b"torn"
    assert feed.newest() == [update_of(model, version=1)]


def test_many_records_at_once_come_whole_and_in_order(broker: Broker, model: str, feed: FeedProcess) -> None:
    assert feed.newest() == []
    sent: list[LogRecord] = []
    for version in range(1, 201, 2):
        sent += [update_of(model, version=version), delta_of(model, version=version + 1, base_version=version)]
    write_as_another(broker.bootstrap_servers, model, *sent)
    assert polled(feed, len(sent)) == sent
    assert psutil.Process().num_fds() < len(sent), "what was mapped is closed"


def test_a_process_that_is_killed_is_started_again_and_reads_the_newest_again(
    broker: Broker, model: str, feed: FeedProcess
) -> None:
    write_as_another(broker.bootstrap_servers, model, update_of(model, version=1))
    assert feed.newest() == [update_of(model, version=1)]
    killed = process_of(feed)
    os.kill(killed.pid, signal.SIGKILL)
    write_as_another(broker.bootstrap_servers, model, update_of(model, version=2))
    assert polled(feed) == [update_of(model, version=2)]
    assert feed.pid != killed.pid


def test_it_makes_way_for_its_replica(feed: FeedProcess) -> None:
    assert feed.newest() == []
    assert process_of(feed).nice() == min(psutil.Process().nice() + NICENESS, 19)
    assert os.getsid(process_of(feed).pid) == os.getsid(0), "of two sessions each gets the same share of a core"


def test_ctrl_c_on_the_terminal_is_for_the_replica_alone(feed: FeedProcess) -> None:
    assert feed.newest() == []
    assert os.getpgid(process_of(feed).pid) != os.getpgid(0)
    for number in (signal.SIGINT, signal.SIGTERM):
        process_of(feed).send_signal(number)
    assert feed.newest() == []


def test_a_replica_that_may_open_no_more_files_reads_on_once_it_may(
    broker: Broker, model: str, feed: FeedProcess
) -> None:
    assert feed.newest() == []
    write_as_another(broker.bootstrap_servers, model, update_of(model, version=1))
    with no_more_files():
        wait_for(lambda: feed.poll(0.2) or feed.pid is None, "nothing comes")
        assert feed.pid is None
    assert polled(feed) == [update_of(model, version=1)]


def test_it_ends_when_it_is_closed_and_when_its_replica_is_killed(broker: Broker, model: str, tmp_path: Path) -> None:
    feed = in_a_process(broker.options, model)
    assert feed.newest() == []
    process = process_of(feed)
    feed.close()
    assert not process.is_running()

    script = tmp_path / "replica.py"
    script.write_text(
        "import signal; from update_feeds import in_a_process\n"
        f"feed = in_a_process({{'bootstrap.servers': {broker.bootstrap_servers!r}}}, {model!r})\n"
        "feed.newest(); print(feed.pid, flush=True); signal.pause()\n"
    )
    environ = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    with subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE, env=environ) as replica:
        assert replica.stdout is not None
        orphan = psutil.Process(int(replica.stdout.readline()))
        replica.kill()
    wait_for(lambda: not orphan.is_running() or orphan.status() == psutil.STATUS_ZOMBIE, "the feed process ends, too")


def test_it_holds_no_torch(feed: FeedProcess) -> None:
    assert feed.newest() == []
    mapped = {Path(each.path).name for each in process_of(feed).memory_maps()}
    assert not [name for name in mapped if name.startswith("libtorch")]
