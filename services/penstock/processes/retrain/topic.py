"""The label topic replayed as a trainer reads it; nothing is dead-lettered, and no share of invalid events stops it."""

import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace

from penstock.adapters.kafka.label_source import LabelSource
from penstock.adapters.kafka.prediction_source import KafkaPredictionSource
from penstock.adapters.kafka.topic_names import TopicNames
from penstock.clock import SystemClock
from penstock.flow import EventBatch, Offsets
from penstock.intake.intake import Intake
from penstock.intake.late_labels import LateLabels
from penstock.intake.repeated_events import RepeatedEvents
from penstock.settings import Settings
from penstock.telemetry import MetricName
from penstock.wire.dead_letter import DeadLetter
from penstock.wire.decoder import EventDecoder
from penstock.wire.event_keys import NO_KEYS

IDLE_SECONDS = 0.25
"""The unfilled last micro-batch closes once the log stood still this long."""
SILENT_SECONDS = 2.0
"""A partition may end in offsets that hold no message; that nothing comes for so long tells."""


class TopicReplay:
    """Micro-batches in a fixed rotation of partitions, from `starts` on, as far as it is asked for."""

    def __init__(self, settings: Settings, starts: Offsets, resources: ExitStack) -> None:
        topics = TopicNames(settings.model.name)
        self.invalid = InvalidCounts()
        self.position = starts
        self._source = LabelSource(
            settings.kafka,
            topics.labels,
            group_id=f"penstock.{settings.model.name}.retrain",
            new_partitions="leave",
        )
        resources.callback(self._source.close)
        self._source.start(starts)
        patient = replace(
            settings.intake,
            max_age_seconds=0,
            idle_seconds=IDLE_SECONDS,
            max_invalid_ratio=1.0,
            max_invalid_run=sys.maxsize,
        )
        self._wait_seconds = IDLE_SECONDS + settings.intake.late_labels.wait_seconds + SILENT_SECONDS
        window = settings.intake.dedupe_window_events
        self._intake = Intake(
            self._source,
            _NoLetters(),
            EventDecoder(settings.model.schema, keeps_event_ids=window > 0),
            patient,
            SystemClock(),
            self.invalid,
            late_labels=_late_labels(settings, topics, resources),
            repeated=RepeatedEvents(window, NO_KEYS, self.invalid) if window else None,
        )

    def batches(self, until: Offsets) -> Iterator[EventBatch]:
        """Go on to these offsets, or a few events further: micro-batches are not cut.

        Raises:
            RetentionError: events are gone before they were read.
        """
        heard_at = time.monotonic()
        while any(self.position[partition] < end for partition, end in until.next.items()):
            batch = self._intake.next_batch(IDLE_SECONDS)
            if batch is not None:
                self.position = self.position.advanced_to(batch.offsets)
                heard_at = time.monotonic()
                yield batch
            elif time.monotonic() - heard_at > self._wait_seconds and self._is_at_end(until):
                return

    def _is_at_end(self, until: Offsets) -> bool:
        return self._source.partitions_at_end() >= set(until.next)


class InvalidCounts:
    """`Telemetry` that keeps count of invalid events alone."""

    def __init__(self) -> None:
        self.by_reason: Counter[str] = Counter()

    def count(self, name: MetricName, amount: float = 1, /, **labels: str) -> None:
        """As `Telemetry.count`."""
        if name == "penstock_events_invalid_total":
            self.by_reason[labels["reason"]] += round(amount)

    def gauge(self, name: MetricName, value: float, /, **labels: str) -> None:
        """As `Telemetry.gauge`."""

    def observe(self, name: MetricName, value: float, /, **labels: str) -> None:
        """As `Telemetry.observe`."""

    def identify(self, *, model: str, version: int, sha256: str) -> None:
        """As `Telemetry.identify`."""


class _NoLetters:
    """What the trainer refuses it has dead-lettered already."""

    def send(self, letter: DeadLetter) -> None:
        pass


def _late_labels(settings: Settings, topics: TopicNames, resources: ExitStack) -> LateLabels | None:
    if not settings.serving.prediction_log.enabled:
        return None
    source = KafkaPredictionSource(settings.kafka, topics.predictions)
    resources.callback(source.close)
    source.start()
    return LateLabels(source, settings.intake.late_labels, SystemClock(), read_until_ms=0)
