"""Brokers that Penstock itself starts: ready when they say so, gone when they are left."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from confluent_kafka.admin import AdminClient

from kafka_brokers import create_topic, new_name
from penstock.adapters.kafka.embedded import LIMITS, EmbeddedBroker
from penstock.adapters.kafka.local_kafka import DEFAULT_CACHE, LocalKafka
from penstock.adapters.kafka.local_kafka_jars import resolve
from penstock.errors import ConfigurationError, UnavailableError
from waiting import wait_for


def num_partitions(bootstrap_servers: str) -> dict[str, int]:
    topics = AdminClient({"bootstrap.servers": bootstrap_servers}).list_topics(timeout=60).topics
    return {name: len(found.partitions) for name, found in topics.items()}


def test_the_embedded_broker_makes_topics_of_the_asked_width_and_leaves_existing_ones() -> None:
    with EmbeddedBroker() as broker:
        broker.create_topic("wide", 7)
        broker.create_topic("narrow", 1)
        broker.create_topic("narrow", 5)
        assert num_partitions(broker.bootstrap_servers) == {"wide": 7, "narrow": 1}


def test_two_embedded_brokers_live_side_by_side() -> None:
    with EmbeddedBroker() as one, EmbeddedBroker() as other:
        one.create_topic("mine", 1)
        assert num_partitions(one.bootstrap_servers) == {"mine": 1}
        assert num_partitions(other.bootstrap_servers) == {}


def test_an_embedded_broker_that_does_not_run_creates_nothing() -> None:
    broker = EmbeddedBroker()
    with pytest.raises(ConfigurationError, match=r"'t' cannot be created: the embedded broker is not running"):
        broker.create_topic("t", 1)
    with broker, pytest.raises(ConfigurationError, match=r"'t' cannot have 0 partitions; it needs at least 1"):
        broker.create_topic("t", 0)


def test_the_embedded_broker_says_what_it_cannot_do() -> None:
    for limit in ("5 MiB a partition", "in memory", "not compacted", "not fenced"):
        assert limit in LIMITS


def test_a_local_kafka_keeps_its_address_and_topics_over_a_restart_and_ends_with_its_block(
    kafka_libs: Path, tmp_path: Path
) -> None:
    topic = new_name()
    with LocalKafka(tmp_path / "kafka", libs=kafka_libs) as kafka:
        address, pid = kafka.bootstrap_servers, kafka.pid
        create_topic(address, topic, 2)
        kafka.restart()
        assert kafka.bootstrap_servers == address
        assert kafka.pid != pid
        assert num_partitions(address)[topic] == 2
        pid = kafka.pid
    assert pid is not None
    assert not psutil.pid_exists(pid)


def test_a_local_kafka_that_cannot_start_says_why(kafka_libs: Path, tmp_path: Path) -> None:
    broken = LocalKafka(tmp_path / "kafka", libs=kafka_libs, properties={"num.io.threads": 0})
    with pytest.raises(UnavailableError, match=r"(?s)num\.io\.threads"), broken:
        pass
    assert broken.pid is None


def test_a_local_kafka_dies_with_the_process_that_started_it(kafka_libs: Path, tmp_path: Path) -> None:
    program = (
        "import sys, time; from pathlib import Path; from penstock.adapters.kafka.local_kafka import LocalKafka\n"
        "with LocalKafka(Path(sys.argv[1]), libs=Path(sys.argv[2])) as kafka:\n"
        "    print(kafka.pid, flush=True); time.sleep(600)"
    )
    command = [sys.executable, "-c", program, str(tmp_path / "kafka"), str(kafka_libs)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        assert psutil.pid_exists(pid)
        os.kill(parent.pid, signal.SIGKILL)
        wait_for(lambda: not is_running(pid), "Kafka has died with its parent")


def is_running(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def test_a_missing_program_is_named_with_its_package(
    kafka_libs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ConfigurationError, match=r"'mvn', which is not installed; .*apt-get install maven"):
        resolve(tmp_path / "cache")
    without_java = LocalKafka(tmp_path / "kafka", libs=kafka_libs)
    with (
        pytest.raises(ConfigurationError, match=r"'java', which is .*apt-get install default-jre-headless"),
        without_java,
    ):
        pass


def test_jars_that_cannot_be_resolved_leave_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    failing = tmp_path / "bin" / "mvn"
    failing.parent.mkdir()
    failing.write_text("#!/bin/sh\necho '[ERROR] no such repository'\nexit 1\n")
    failing.chmod(0o755)
    monkeypatch.setenv("PATH", f"{failing.parent}:{os.environ['PATH']}")
    with pytest.raises(UnavailableError, match=r"(?s)Maven cannot resolve Apache Kafka:.*no such repository"):
        resolve(tmp_path / "cache")
    assert list((tmp_path / "cache").iterdir()) == []


def test_jars_come_into_a_cache_that_is_named_from_the_working_folder(
    kafka_libs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    found = resolve(DEFAULT_CACHE)
    assert {jar.name for jar in found.iterdir()} == {jar.name for jar in kafka_libs.iterdir()}
    assert resolve(tmp_path / DEFAULT_CACHE) == found
