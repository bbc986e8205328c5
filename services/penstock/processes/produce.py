"""`penstock produce`: labelled events from files to the label topic, delivery confirmed."""

import signal
import sys
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import BinaryIO

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from penstock.adapters.kafka.catalog import require_topic
from penstock.adapters.kafka.label_producer import LabelProducer, Outgoing
from penstock.adapters.kafka.topic_names import TopicNames
from penstock.errors import ConfigurationError
from penstock.processes.parquet_files import opened, row_batches
from penstock.settings import Settings
from penstock.wire.event_writer import arrow_message

REPORT_SECONDS = 0.1


def run(settings: Settings, file: Path, *, rate: float | None, rows_per_message: int) -> int:
    """Send all of `file`; 0 once every event is acknowledged, 1 if some were not.

    Raises:
        ConfigurationError: there is no such file, or no such topic.
        UnavailableError: no broker answers.
    """
    signal.signal(signal.SIGINT, signal.default_int_handler)
    total = _count(file)
    topic = TopicNames(settings.model.name).labels
    require_topic(settings.kafka, topic)
    producer = LabelProducer(settings.kafka, topic)
    with _progress() as progress:
        task = progress.add_task(f"→ {topic}", total=total)
        began = shown_at = time.monotonic()
        sent = 0
        for message in _messages(file, rows_per_message):
            producer.send(message)
            sent += message.num_events
            if rate is not None:
                time.sleep(max(began + sent / rate - time.monotonic(), 0))
            if time.monotonic() - shown_at > REPORT_SECONDS:
                shown_at = time.monotonic()
                progress.update(task, completed=producer.events_delivered)
        while not producer.flush(REPORT_SECONDS):
            progress.update(task, completed=producer.events_delivered)
        progress.update(task, completed=producer.events_delivered, total=sent)
    seconds = time.monotonic() - began
    click.echo(f"{producer.events_delivered} of {sent} events delivered to {topic} in {seconds:.1f} s.")
    if producer.first_failure is not None:
        click.echo(f"penstock: {sent - producer.events_delivered} not delivered: {producer.first_failure}", err=True)
    return 0 if producer.events_delivered == sent else 1


def _progress() -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("events confirmed"),
        TimeElapsedColumn(),
        console=Console(stderr=True),
        disable=not sys.stderr.isatty(),
    )


def _messages(file: Path, rows_per_message: int) -> Iterator[Outgoing]:
    if file.suffix == ".parquet":
        for batch in row_batches(opened(file), file, rows_per_message):
            yield Outgoing(
                value=arrow_message(batch),
                content_type="application/vnd.apache.arrow.stream",
                num_events=batch.num_rows,
            )
        return
    with _lines(file) as stream:
        for line in stream:
            if line.strip():
                yield Outgoing(value=line.strip(), content_type="application/json", num_events=1)


def _lines(file: Path) -> AbstractContextManager[BinaryIO]:
    if str(file) == "-":
        return nullcontext(sys.stdin.buffer)
    if file.suffix not in (".jsonl", ".ndjson", ".json"):
        raise ConfigurationError(
            f"{file} is none of .jsonl, .ndjson, .json, .parquet; give one, or - for standard input."
        )
    try:
        return file.open("rb")
    except OSError as error:
        raise ConfigurationError(f"{file} cannot be read: {error.strerror}.") from None


def _count(file: Path) -> int | None:
    """Events in the file, for the bar; unknown for standard input."""
    if str(file) == "-":
        return None
    if not file.is_file():
        raise ConfigurationError(f"There is no file {file}.")
    if file.suffix == ".parquet":
        return int(opened(file).metadata.num_rows)
    with _lines(file) as stream:
        return sum(1 for line in stream if line.strip())
