"""Labelled events in Parquet files: what cannot be read is said in a sentence, wherever in the file it stands."""

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from penstock.errors import ConfigurationError


def opened(file: Path) -> pq.ParquetFile:
    """The file. Raises `ConfigurationError` where it is missing, cannot be read or is no Parquet file."""
    try:
        return pq.ParquetFile(file)
    except FileNotFoundError:
        raise ConfigurationError(f"There is no file {file}.") from None
    except (pa.ArrowException, OSError) as error:
        raise ConfigurationError(f"{file} is not a Parquet file that can be read: {error}.") from None


def row_batches(parquet: pq.ParquetFile, file: Path, num_rows: int) -> Iterator[pa.RecordBatch]:
    """Its rows in order, so many at a time. Raises `ConfigurationError` where `file`, so named, is damaged."""
    try:
        yield from parquet.iter_batches(batch_size=num_rows)
    except (pa.ArrowException, OSError) as error:
        raise ConfigurationError(f"{file} is damaged: {error}.") from None
