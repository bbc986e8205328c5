"""start and memory: penstock --help, a replica from start to ready, resident memory"""

import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from functools import partial
from pathlib import Path

import psutil

from bench_freshness import MODEL, configuration
from figures import Figure
from line import line
from penstock.adapters.kafka.local_kafka import LocalKafka
from penstock.processes.demo.digits import digit_stream
from waiting import wait_for

REPEATS = 5


def measure() -> list[Figure]:
    """Medians of several starts."""
    return [_help(), *_replica_and_memory()]


def _help() -> Figure:
    def once() -> float:
        began = time.perf_counter()
        subprocess.run([str(Path(sys.executable).with_name("penstock")), "--help"], check=True, capture_output=True)
        return time.perf_counter() - began

    once()
    value = statistics.median(once() for _ in range(REPEATS))
    return Figure(name="penstock --help", value=value, unit="s", target=0.3, sense="at most")


def _replica_and_memory() -> list[Figure]:
    with tempfile.TemporaryDirectory() as folder, LocalKafka(Path(folder) / "kafka") as kafka:
        text = configuration(kafka.bootstrap_servers, Path(folder) / "state")
        with line(Path(folder), kafka.bootstrap_servers, MODEL, text) as running:
            assert running.run("topics", "create").returncode == 0
            trainer = running.start_trainer()
            running.wait_until_announced(running.produce(digit_stream(1).held_out.events("image")))
            starts = []
            for _ in range(REPEATS):
                began = time.perf_counter()
                replica, url = running.start_replica()
                wait_for(partial(_is_ready, url), "the replica is ready", every_seconds=0.01)
                starts.append(time.perf_counter() - began)
                replica_mib = _resident_mib(psutil.Process(replica.pid))
                feed_mib = sum(map(_resident_mib, psutil.Process(replica.pid).children()))
                replica.stop()
            trainer_mib = _resident_mib(psutil.Process(trainer.pid))
            intake_mib = sum(map(_resident_mib, psutil.Process(trainer.pid).children()))
    torch_mib = float(
        subprocess.run(
            [sys.executable, "-c", "import torch, psutil; print(psutil.Process().memory_info().rss / 2**20)"],
            check=True,
            capture_output=True,
        ).stdout
    )
    return [
        Figure(
            name="replica from start to ready", value=statistics.median(starts), unit="s", target=6, sense="at most"
        ),
        Figure(name="trainer, resident, MLflow client included", value=trainer_mib, unit="MiB"),
        Figure(name="its intake process, resident", value=intake_mib, unit="MiB"),
        Figure(name="replica, resident", value=replica_mib, unit="MiB"),
        Figure(name="its feed process, resident", value=feed_mib, unit="MiB"),
        Figure(name="beside it: a process that has imported torch", value=torch_mib, unit="MiB"),
    ]


def _resident_mib(process: psutil.Process) -> float:
    return float(process.memory_info().rss / 2**20)


def _is_ready(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/v2/health/ready", timeout=1) as response:
            return bool(response.status == 200)
    except (urllib.error.URLError, OSError):
        return False
