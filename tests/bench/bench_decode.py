"""decode: consume, decode and batch beside bare consume() on real Kafka"""

import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from confluent_kafka import Consumer, TopicPartition

from figures import Figure, interleaved
from label_logs import ROWS_PER_MESSAGE, WIDTH, arrow_values, fill, json_values
from penstock.adapters.kafka.dead_letters import DeadLetters
from penstock.adapters.kafka.label_source import LabelSource
from penstock.adapters.kafka.local_kafka import LocalKafka
from penstock.adapters.prometheus.telemetry import PrometheusTelemetry
from penstock.clock import SystemClock
from penstock.features import Feature, FeatureSchema
from penstock.flow import Offsets
from penstock.intake.config import IntakeConfig
from penstock.intake.intake import Intake
from penstock.wire.decoder import EventDecoder

EVENTS = 200_000
BATCH = 256
REPEATS = 5
SCHEMA = FeatureSchema(features=(Feature(name="pixels", kind="vector", width=WIDTH),))


def measure() -> list[Figure]:
    """JSON (one event a message) and Arrow (256 events a message), each beside consume(256) of the same topic."""
    figures = []
    with tempfile.TemporaryDirectory() as folder, LocalKafka(Path(folder) / "kafka") as kafka:
        address = kafka.bootstrap_servers
        for name, values, kind, rows in (
            ("JSON", json_values(EVENTS), "application/json", 1),
            ("Arrow", arrow_values(EVENTS), "application/vnd.apache.arrow.stream", ROWS_PER_MESSAGE),
        ):
            messages = fill(address, f"{name}.labels", values, kind)
            ours, bare = interleaved(
                REPEATS,
                _intake(address, f"{name}.labels", messages * rows),
                _bare(address, f"{name}.labels", messages, rows),
            )
            figures += [
                Figure(name=f"{name}: bare consume(256)", value=bare, unit="events/s"),
                Figure(name=f"{name}: consumed, decoded and batched", value=ours, unit="events/s"),
                Figure(name=f"{name}: decoded ÷ bare", value=ours / bare, unit=""),
            ]
    return figures


def _intake(address: str, topic: str, num_events: int) -> Callable[[], float]:
    def once() -> float:
        source = LabelSource({"bootstrap.servers": address}, topic, "bench")
        source.start(Offsets())
        letters = DeadLetters({"bootstrap.servers": address}, "bench.dead-letters")
        config = IntakeConfig(max_events=BATCH)
        intake = Intake(
            source, letters, EventDecoder(SCHEMA), config, SystemClock(), PrometheusTelemetry(side="trainer")
        )
        seen, began = 0, 0.0
        while seen < num_events:
            batch = intake.next_batch(1.0)
            if batch is not None:
                began = began or time.perf_counter()
                seen += batch.events.num_rows
        seconds = time.perf_counter() - began
        source.close()
        letters.close()
        return num_events / seconds

    return once


def _bare(address: str, topic: str, num_messages: int, rows: int) -> Callable[[], float]:
    def once() -> float:
        consumer = Consumer({"bootstrap.servers": address, "group.id": "bench", "enable.auto.commit": False})
        partitions = consumer.list_topics(topic, timeout=10).topics[topic].partitions
        consumer.assign([TopicPartition(topic, partition, 0) for partition in partitions])
        seen, began = 0, 0.0
        while seen < num_messages:
            messages = consumer.consume(BATCH, 0.5)
            began = began or time.perf_counter()
            seen += len(messages)
        seconds = time.perf_counter() - began
        consumer.close()
        return num_messages * rows / seconds

    return once
