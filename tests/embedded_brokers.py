"""The embedded broker in a process of its own, so that a defect of librdkafka cannot take the tests along."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from confluent_kafka import Consumer, TopicPartition

from penstock.adapters.kafka.embedded import EmbeddedBroker

END_SECONDS = 10.0


class RunningBroker:
    """An embedded broker elsewhere: as much of `EmbeddedBroker` as tests need."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process
        self.bootstrap_servers = self._said()

    def create_topic(self, name: str, partitions: int) -> None:
        """Create a topic; one that exists stays as it is."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{name} {partitions}\n")
        self._process.stdin.flush()
        assert self._said() == name

    def _said(self) -> str:
        assert self._process.stdout is not None
        word = self._process.stdout.readline().strip()
        assert word, f"the embedded broker has ended with {self._process.wait(END_SECONDS)}"
        return word


@contextmanager
def embedded_broker_process() -> Iterator[RunningBroker]:
    """A running one; it ends with the block, or with this process."""
    command = [sys.executable, "-X", "faulthandler", __file__]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield RunningBroker(process)
        finally:
            assert process.stdin is not None
            process.stdin.close()
            process.wait(END_SECONDS)


@contextmanager
def _kept_awake(running: EmbeddedBroker) -> Iterator[None]:
    """Somebody who keeps asking: an idle embedded broker looks only once a second whether to create a topic."""
    running.create_topic("kept-awake", 1)
    config = {"bootstrap.servers": running.bootstrap_servers, "group.id": "kept-awake", "log_level": 0}
    asking = Consumer({**config, "fetch.wait.max.ms": 10})
    asking.assign([TopicPartition("kept-awake", 0, 0)])
    try:
        yield
    finally:
        asking.close()


def _serve() -> None:
    """Says its address, then creates the topics that it reads, one a line, until there are no more lines."""
    with EmbeddedBroker() as running, _kept_awake(running):
        print(running.bootstrap_servers, flush=True)
        for line in sys.stdin:
            name, partitions = line.split()
            running.create_topic(name, int(partitions))
            print(name, flush=True)


if __name__ == "__main__":
    _serve()
