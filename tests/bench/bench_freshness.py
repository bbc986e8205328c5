"""freshness: label produced to first answer that has learnt it, 100 labels/s, two replicas, MLflow on, real Kafka"""

import tempfile
import time
from functools import partial
from pathlib import Path

import numpy as np

from figures import Figure
from line import Line, line
from penstock.adapters.kafka.label_producer import LabelProducer, Outgoing
from penstock.adapters.kafka.local_kafka import LocalKafka
from penstock.processes.demo.digits import digit_stream
from penstock.processes.demo.freshness import ProducedEvents, UpdateWatch, VersionProbe
from waiting import wait_for

LABELS_PER_SECOND = 100
SECONDS = 30
MODEL = "freshness"


def configuration(bootstrap_servers: str, state: Path) -> str:
    """The defaults, with ports of their own."""
    return f"""
[model]
name = "{MODEL}"
[[model.features]]
name = "pixels"
kind = "vector"
width = 64
[kafka]
"bootstrap.servers" = "{bootstrap_servers}"
[mlflow]
tracking_uri = "sqlite:///{state / "mlflow.db"}"
[telemetry]
port = 0
[state]
directory = "{state}"
"""


def measure() -> list[Figure]:
    """Median and 99th percentile over every event at every replica."""
    with tempfile.TemporaryDirectory() as folder, LocalKafka(Path(folder) / "kafka") as kafka:
        text = configuration(kafka.bootstrap_servers, Path(folder) / "state")
        with line(Path(folder), kafka.bootstrap_servers, MODEL, text) as running:
            seconds = _freshness(running)
    p50, p99 = (float(np.percentile(seconds, share)) * 1000 for share in (50, 99))
    return [
        Figure(name="p50", value=p50, unit="ms", target=250, sense="at most"),
        Figure(name="p99", value=p99, unit="ms", target=1000, sense="at most"),
        Figure(name="slowest", value=float(seconds.max()) * 1000, unit="ms"),
        Figure(name="measurements", value=len(seconds), unit="events"),
    ]


def _freshness(running: Line) -> "np.ndarray[tuple[int], np.dtype[np.float64]]":
    assert running.run("topics", "create").returncode == 0
    running.start_trainer()
    probes = [VersionProbe(running.start_replica()[1], MODEL) for _ in range(2)]
    watch, produced = UpdateWatch(running.kafka, MODEL), ProducedEvents()
    warm_up = list(digit_stream(1).held_out.events("warm-up"))[:200]
    running.wait_until_announced(running.produce(warm_up))
    watch.start()
    for probe in probes:
        probe.start()
    wait_for(lambda: all(probe.version for probe in probes), "both replicas answer")
    _produce(running, produced)
    total = len(warm_up) + len(produced)
    wait_for(
        lambda: (
            watch.newest is not None
            and sum(watch.newest.offsets.next.values()) >= total
            and all(probe.version >= watch.newest.version for probe in probes)
        ),
        "both replicas serve what was produced",
    )
    watch.end()
    for probe in probes:
        probe.end()
    return np.concatenate([produced.freshness_seconds(watch, probe) for probe in probes])


def _produce(running: Line, produced: ProducedEvents) -> None:
    producer = LabelProducer(running.kafka, running.topics.labels)
    images = [value for seed in range(4) for value in digit_stream(seed).held_out.events(f"seed-{seed}")]
    began = time.monotonic()
    for number in range(LABELS_PER_SECOND * SECONDS):
        while time.monotonic() - began < number / LABELS_PER_SECOND:
            producer.flush(0.001)
        produced_at = time.time()
        message = Outgoing(value=images[number % len(images)], content_type="application/json", num_events=1)
        producer.send(message, partial(produced.add, produced_at=produced_at))
    assert producer.flush(10)
