"""Rows of river's generators as a stream."""

import itertools
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from bench_learning.stream import LARGE_MEMORY, Stream, names_of


def taken(source: Iterable[tuple[Mapping[Any, Any], Any]], num_rows: int | None = None) -> Stream:
    """The first rows of a river data set, its columns in the order of the first row, as numbers."""
    features, labels = zip(*itertools.islice(source, num_rows), strict=True)
    names = list(features[0])
    rows = np.array([[float(row[name]) for name in names] for row in features])
    return Stream(rows=rows, labels=names_of(labels), memory=LARGE_MEMORY)


def one_after_another(parts: Sequence[Stream]) -> Stream:
    """Streams of the same columns, each to its end: at every border the world changes at once."""
    return Stream(
        rows=np.concatenate([part.rows for part in parts]),
        labels=np.concatenate([part.labels for part in parts]),
        kind=parts[0].kind,
        memory=parts[0].memory,
    )
