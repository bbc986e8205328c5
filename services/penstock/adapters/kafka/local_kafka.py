"""A real Apache Kafka on this machine: one node, broker and controller, as a child process on free ports.

For `penstock demo --broker kafka` and for tests. Start it from a thread that outlives it: on Linux it dies with the
thread that started it, however that ends.
"""

import base64
import os
import secrets
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from penstock.adapters.kafka.local_kafka_jars import required, resolve
from penstock.errors import UnavailableError

DEFAULT_CACHE = Path(".cache/kafka")
START_SECONDS = 120.0
ASK_SECONDS, MOST_ASK_SECONDS = 0.5, 4.0
RECONNECTING = {"reconnect.backoff.ms": 50}
STOP_SECONDS = 2.0
"""It usually takes half a second, but may wait for itself; what is acknowledged survives SIGKILL."""
JAVA_OPTIONS = ("-Xms128m", "-Xmx384m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")
DIE_WITH_PARENT = (
    "import ctypes, os, sys;getattr(ctypes.CDLL(None), 'prctl', lambda *_: 0)(1, 9);os.execv(sys.argv[1], sys.argv[1:])"
)
"""Asks Linux to kill this process when its parent ends (PR_SET_PDEATHSIG, SIGKILL), then becomes the given program."""

INTERNAL_TOPICS: dict[str, str | int] = {
    "offsets.topic.num.partitions": 1,
    "transaction.state.log.num.partitions": 1,
    "share.coordinator.state.topic.num.partitions": 1,
    "offsets.topic.replication.factor": 1,
    "transaction.state.log.replication.factor": 1,
    "transaction.state.log.min.isr": 1,
    "share.coordinator.state.topic.replication.factor": 1,
    "share.coordinator.state.topic.min.isr": 1,
}


class LocalKafka:
    """Apache Kafka from `with` to its end; its data stays in the given folder.

    Args:
        data_directory: the log, and Kafka's own log file `kafka.log`.
        libs: the folder with Kafka's jars; unless given, Maven resolves them into the cache.
        cache_directory: where they are kept between starts.
        properties: server properties besides those of this module; `log.flush.interval.messages` for a test that kills.
        advertised_port: where clients are told to connect, if that is a proxy before the broker.
        listeners: further ones, by name with their security protocol; `addresses` says where they are.
    """

    def __init__(
        self,
        data_directory: Path,
        *,
        libs: Path | None = None,
        cache_directory: Path = DEFAULT_CACHE,
        properties: Mapping[str, str | int] | None = None,
        advertised_port: int | None = None,
        listeners: Mapping[str, str] | None = None,
    ) -> None:
        self.data_directory = data_directory
        self.log_file = data_directory / "kafka.log"
        self.bootstrap_servers = ""
        self.addresses: dict[str, str] = {}
        self._listeners = {"CONTROLLER": "PLAINTEXT", "PLAINTEXT": "PLAINTEXT", **(listeners or {})}
        self._libs = libs
        self._cache_directory = cache_directory
        self._properties = dict(properties or {})
        self._advertised_port = advertised_port
        self._java: list[str] = []
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        """Resolve, format, start, and wait until it answers.

        Raises:
            ConfigurationError: Java or Maven is not installed.
            UnavailableError: it does not start; the sentence ends with its last log lines.
        """
        self._java = self._java_command()
        self.data_directory.mkdir(parents=True, exist_ok=True)
        ports = _free_ports(len(self._listeners))
        self.addresses = {name: f"127.0.0.1:{port}" for name, port in zip(self._listeners, ports, strict=True)}
        self.bootstrap_servers = self.addresses["PLAINTEXT"]
        self._server_properties.write_text(self._configuration(), encoding="utf-8")
        self._format()
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop it, by force if it does not."""
        self.stop()

    @property
    def libs(self) -> Path:
        """The folder with Kafka's jars, resolved if need be. Raises as `with` does."""
        if self._libs is None:
            self._libs = resolve(self._cache_directory)
        return self._libs

    @property
    def pid(self) -> int | None:
        """Of the running process."""
        return None if self._process is None else self._process.pid

    def start(self) -> None:
        """Start it on its ports and data, and wait until it answers. Raises `UnavailableError`."""
        with self.log_file.open("ab") as output:
            self._process = subprocess.Popen(
                [
                    sys.executable,
                    "-I",
                    "-S",
                    "-c",
                    DIE_WITH_PARENT,
                    *self._java,
                    "kafka.Kafka",
                    str(self._server_properties),
                ],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C in the terminal stops us first, and us it
            )
        try:
            self._wait_until_it_answers()
        except BaseException:
            self.kill()
            raise

    def stop(self) -> None:
        """Ask it to stop and wait for it."""
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self.kill()
            self._process = None

    def kill(self) -> None:
        """SIGKILL: what was not yet on disk is lost."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def restart(self) -> None:
        """Stop it unless it is stopped already, and start it on the same ports and data."""
        self.stop()
        self.start()

    @property
    def _server_properties(self) -> Path:
        return self.data_directory / "server.properties"

    def _java_command(self) -> list[str]:
        java = required("java", "default-jre-headless")
        return [java, *JAVA_OPTIONS, "-cp", f"{self.libs.absolute()}{os.sep}*"]

    def _configuration(self) -> str:
        listeners = {name: f"{name}://{address}" for name, address in self.addresses.items()}
        advertised = dict(listeners)
        if self._advertised_port is not None:
            advertised["PLAINTEXT"] = f"PLAINTEXT://127.0.0.1:{self._advertised_port}"
        protocols = ",".join(f"{name}:{protocol}" for name, protocol in self._listeners.items())
        properties: dict[str, str | int] = {
            "process.roles": "broker,controller",
            "node.id": 1,
            "listeners": ",".join(listeners.values()),
            "advertised.listeners": ",".join(url for name, url in advertised.items() if name != "CONTROLLER"),
            "listener.security.protocol.map": protocols,
            "controller.listener.names": "CONTROLLER",
            "controller.quorum.voters": f"1@{self.addresses['CONTROLLER']}",
            "log.dirs": str((self.data_directory / "log").absolute()),
            "auto.create.topics.enable": "false",
            "broker.session.timeout.ms": 4_000,  # how long a killed broker is still believed to run when it restarts
            "broker.heartbeat.interval.ms": 500,
            "group.initial.rebalance.delay.ms": 0,
            "log.cleaner.dedupe.buffer.size": 2_097_152,  # the default does not fit a small heap
        }
        return "".join(f"{key}={value}\n" for key, value in (properties | INTERNAL_TOPICS | self._properties).items())

    def _format(self) -> None:
        if (self.data_directory / "log" / "meta.properties").exists():
            return
        command = [
            *self._java,
            "kafka.tools.StorageTool",
            "format",
            "-t",
            _cluster_id(),
            "-c",
            str(self._server_properties),
        ]
        done = subprocess.run(command, capture_output=True, text=True, timeout=START_SECONDS, check=False)
        if done.returncode != 0:
            raise UnavailableError(f"Kafka cannot format {self.data_directory}: {(done.stdout + done.stderr).strip()}")

    def _wait_until_it_answers(self) -> None:
        deadline, patience = time.monotonic() + START_SECONDS, ASK_SECONDS
        while time.monotonic() < deadline:
            # A new one each time: one that has heard of the advertised port asks there, though nothing may listen yet.
            client = AdminClient({"bootstrap.servers": self.bootstrap_servers, "log_level": 0, **RECONNECTING})
            if self._process is None or self._process.poll() is not None:
                raise UnavailableError(f"Kafka ended while starting; the end of {self.log_file}:\n{self._log_tail()}")
            try:
                if client.list_topics(timeout=patience).brokers:
                    return
            except KafkaException:
                patience = min(2 * patience, MOST_ASK_SECONDS)  # a busy machine may need longer
        raise UnavailableError(
            f"Kafka has not answered within {START_SECONDS:.0f} s; the end of {self.log_file}:\n{self._log_tail()}"
        )

    def _log_tail(self) -> str:
        return "\n".join(self.log_file.read_text(encoding="utf-8", errors="replace").splitlines()[-15:])


def _cluster_id() -> str:
    """22 characters of url-safe base64; Kafka's command line takes one that begins with '-' for an option."""
    while (text := base64.urlsafe_b64encode(secrets.token_bytes(16)).decode()[:22]).startswith("-"):
        pass
    return text


def _free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()
