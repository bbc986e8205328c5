"""The whole line as real processes: configuration file, trainer, replicas, producer, and what they say."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from confluent_kafka import Producer

from nursery import Forked, Nursery
from penstock.adapters.kafka.topic_names import TopicNames
from penstock.adapters.kafka.update_feed import KafkaUpdateFeed
from penstock.flow import ModelUpdate
from waiting import PATIENCE_SECONDS, wait_for

PENSTOCK = [sys.executable, "-m", "penstock.processes.cli"]


class Process:
    """One `penstock` command with its log; from a `nursery` if there is one, else an interpreter of its own."""

    def __init__(
        self, arguments: list[str], log: Path, environ: Mapping[str, str], nursery: Nursery | None = None
    ) -> None:
        self.log = log
        self._process: Forked | subprocess.Popen[bytes]
        if nursery is not None:
            self._process = nursery.start(arguments, log, environ)
            return
        with log.open("wb") as stream:
            self._process = subprocess.Popen(
                [*PENSTOCK, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                env={**os.environ, "OMP_NUM_THREADS": "1", **environ},
            )

    def records(self) -> list[dict[str, Any]]:
        """The structured log lines so far."""
        found = []
        for line in self.log.read_text(errors="replace").splitlines():
            with contextlib.suppress(ValueError):
                found.append(json.loads(line))
        return [record for record in found if isinstance(record, dict)]

    def says(self, event: str) -> dict[str, Any] | None:
        """The last log line with this event; None if there is none yet. An ended process fails the test."""
        matching = [record for record in self.records() if record.get("event") == event]
        if not matching and self._process.poll() is not None:
            raise AssertionError(f"the process ended with {self._process.returncode}:\n{self.text()}")
        return matching[-1] if matching else None

    def text(self) -> str:
        """Everything it wrote."""
        return self.log.read_text(errors="replace")

    def last_words(self) -> str:
        """The last sentence that the command line said; what ends beside it may still write after that."""
        said = [text for text in self.text().splitlines() if text.startswith("penstock: ")]
        return said[-1] if said else ""

    def said(self, event: str) -> dict[str, Any] | None:
        """The last log line with this event, whether the process runs still or not."""
        return next((record for record in reversed(self.records()) if record.get("event") == event), None)

    def send_signal(self, number: int) -> None:
        """Unless it has ended."""
        self._process.send_signal(number)

    def kill(self) -> None:
        """kill -9."""
        self._process.kill()
        self._process.wait(PATIENCE_SECONDS)

    def stop(self, timeout_seconds: float = PATIENCE_SECONDS) -> int:
        """SIGTERM; returns the exit code."""
        self._process.send_signal(signal.SIGTERM)
        return self._process.wait(timeout_seconds)

    def wait(self, timeout_seconds: float = PATIENCE_SECONDS) -> int:
        """Until it ends by itself; returns the exit code."""
        return self._process.wait(timeout_seconds)

    @property
    def is_running(self) -> bool:
        """True until it has ended."""
        return self._process.poll() is None

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid


class Line:
    """One model on one broker; everything it starts is ended by `close`."""

    def __init__(
        self,
        directory: Path,
        bootstrap_servers: str,
        model: str,
        configuration: str,
        nursery: Nursery | None = None,
    ) -> None:
        self._nursery = nursery
        self.directory = directory
        self.model = model
        self.topics = TopicNames(model)
        self.kafka: dict[str, str | int | float | bool] = {"bootstrap.servers": bootstrap_servers}
        self.config = directory / "penstock.toml"
        self.config.write_text(configuration, encoding="utf-8")
        self._processes: list[Process] = []
        self._producer = Producer({"bootstrap.servers": bootstrap_servers, "linger.ms": 5, "log_level": 0})

    def run(
        self, *arguments: str, stdin: bytes | None = None, timeout_seconds: float = PATIENCE_SECONDS
    ) -> "subprocess.CompletedProcess[bytes]":
        """A command that ends by itself."""
        if self._nursery is not None:
            told = [*arguments, "--config", str(self.config)]
            return self._nursery.run(told, stdin=stdin or b"", timeout_seconds=timeout_seconds)
        return subprocess.run(
            [*PENSTOCK, *arguments, "--config", str(self.config)],
            input=stdin,
            capture_output=True,
            timeout=timeout_seconds,
            check=False,
        )

    def start(self, *arguments: str, environ: Mapping[str, str] | None = None, forked: bool = True) -> Process:
        """A command that runs on; not `forked`, in an interpreter of its own in any case."""
        log = self.directory / f"{arguments[0]}-{len(self._processes)}.log"
        process = Process(
            [*arguments, "--config", str(self.config)], log, environ or {}, self._nursery if forked else None
        )
        self._processes.append(process)
        return process

    def start_trainer(self, environ: Mapping[str, str] | None = None) -> Process:
        """`penstock train`."""
        return self.start("train", environ=environ)

    def start_replica(self) -> tuple[Process, str]:
        """`penstock serve` on a free port; returns it and its address once it listens."""
        process = self.start("serve", "--port", "0")
        listening = wait_for(lambda: process.says("listening"), "the replica listens")
        return process, str(listening["url"])

    def produce(self, values: Iterable[bytes], **headers: bytes) -> int:
        """Send to the label topic and wait until acknowledged; returns how many."""
        count = 0
        for value in values:
            self._producer.produce(self.topics.labels, value, headers=list(headers.items()))
            self._producer.poll(0)
            count += 1
        assert self._producer.flush(PATIENCE_SECONDS) == 0
        return count

    def newest_update(self) -> ModelUpdate | None:
        """Of the highest version on the update topic."""
        feed = KafkaUpdateFeed(self.kafka, self.model, timeout_seconds=PATIENCE_SECONDS)
        try:
            updates = [record for record in feed.newest() if isinstance(record, ModelUpdate)]
        finally:
            feed.close()
        return max(updates, key=lambda update: update.version, default=None)

    def wait_until_announced(self, num_messages: int, timeout_seconds: float = PATIENCE_SECONDS) -> ModelUpdate:
        """The update whose weights have learnt this many messages of the label topic."""

        def announced() -> ModelUpdate | None:
            update = self.newest_update()
            if update is None or sum(update.offsets.next.values()) < num_messages:
                return None
            return update

        return wait_for(announced, f"an update that has learnt {num_messages} messages", timeout_seconds)

    def close(self) -> None:
        """End what still runs."""
        for process in self._processes:
            if process.is_running:
                process.kill()


def ask(url: str, body: Mapping[str, Any] | None = None) -> tuple[int, dict[str, Any]]:
    """GET, or POST with a body: the status and the JSON answer; status 0 if nobody answers."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data=data, headers={"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=PATIENCE_SECONDS) as response:
            return response.status, json.loads(response.read() or b"{}")
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read() or b"{}")
    except OSError:
        return 0, {}


def served_version(url: str, model: str) -> int:
    """What the replica serves; 0 if nothing yet."""
    status, answer = ask(f"{url}/v2/models/{model}")
    return int(answer["versions"][-1]) if status == 200 and answer.get("versions") else 0


def cpu_seconds(pid: int) -> float:
    """What a process has used of the processor so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextlib.contextmanager
def line(
    directory: Path, bootstrap_servers: str, model: str, configuration: str, nursery: Nursery | None = None
) -> Iterator[Line]:
    """A line that is closed at the end; with a `nursery` its processes come from there."""
    directory.mkdir(parents=True, exist_ok=True)
    started = Line(directory, bootstrap_servers, model, configuration, nursery)
    try:
        yield started
    finally:
        started.close()
