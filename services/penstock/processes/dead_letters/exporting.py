"""`penstock dead-letters export`: letters as a Parquet file, for whoever looks into them with other tools."""

import os
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any, Final

import click
import pyarrow as pa
import pyarrow.parquet as pq

from penstock.adapters.kafka.dead_letter_reader import StoredLetter
from penstock.adapters.kafka.topic_names import TopicNames
from penstock.errors import ConfigurationError
from penstock.processes.dead_letters import words
from penstock.processes.dead_letters.choosing import Choice, Found, Place, chosen_letters
from penstock.settings import Settings
from penstock.wire.dead_letter import original_headers

ROWS: Final = 1000
"""Letters of one row group: as many are in memory at once."""
HEADERS = pa.list_(pa.struct([("name", pa.string()), ("value", pa.binary())]))
COLUMNS: Any = pa.schema(
    [
        ("partition", pa.int32()),
        ("offset", pa.int64()),
        ("timestamp", pa.timestamp("ms", tz="UTC")),
        ("reason", pa.string()),
        ("sentence", pa.string()),
        ("original_topic", pa.string()),
        ("original_partition", pa.string()),
        ("original_offset", pa.string()),
        ("key", pa.binary()),
        ("value", pa.binary()),
        ("headers", HEADERS),
        ("replayed", pa.bool_()),
    ]
)


def export(settings: Settings, choice: Choice, file: Path) -> int:
    """Write the chosen letters, their bytes and their own headers untouched; the file is whole or not there.

    Raises:
        ConfigurationError: the file cannot be written.
    """
    topic = TopicNames(settings.model.name).dead_letters
    before = Found()
    for _ in chosen_letters(settings.kafka, topic, choice, before):  # notes stand behind the letters that they are of
        pass
    letters = chosen_letters(settings.kafka, topic, choice, Found())
    scratch = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        count = _write(scratch, letters, before.sent())
        scratch.replace(file)
    except OSError as error:
        raise ConfigurationError(f"{file} cannot be written: {error.strerror or error}.") from None
    finally:
        scratch.unlink(missing_ok=True)
    click.echo(f"{words.letters(count)} of {topic} in {file}.")
    return 0


def _write(file: Path, letters: Iterable[StoredLetter], sent: set[Place]) -> int:
    count = 0
    with pq.ParquetWriter(file, COLUMNS) as writer:
        remaining = iter(letters)
        while group := list(islice(remaining, ROWS)):
            writer.write_table(pa.Table.from_pylist(list(_rows(group, sent)), schema=COLUMNS))
            count += len(group)
    return count


def _rows(letters: Iterable[StoredLetter], sent: set[Place]) -> Iterator[dict[str, Any]]:
    for letter in letters:
        topic, partition, offset = letter.origin
        yield {
            "partition": letter.partition,
            "offset": letter.offset,
            "timestamp": letter.timestamp_ms,
            "reason": letter.reason,
            "sentence": letter.sentence,
            "original_topic": topic,
            "original_partition": partition,
            "original_offset": offset,
            "key": letter.key,
            "value": letter.value,
            "headers": [{"name": name, "value": value} for name, value in original_headers(letter.headers)],
            "replayed": (letter.partition, letter.offset) in sent,
        }
