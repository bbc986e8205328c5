"""The record of one predicted row on the topic `<model>.predictions`, JSON: see `schemas/prediction.schema.json`.

Its key is the prediction's id. Its features stand as in a labelled event, so that what reads those reads these.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec
import numpy as np

from penstock.clock import to_rfc3339

MAX_REQUEST_ID_CHARACTERS = 200
"""A longer one is no prediction's id: with a row's number behind it, it must fit into a labelled event."""


def row_id(prediction_id: str, row: int, num_rows: int) -> str:
    """The id of one row: the request's own if it has just one, else `<id>#0`, `<id>#1` and so on."""
    return prediction_id if num_rows == 1 else f"{prediction_id}#{row}"


def encode_predictions(
    *,
    prediction_id: str,
    model: str,
    version: int,
    answered_at_ms: int,
    columns: Mapping[str, Any],
    labels: Sequence[str],
    probabilities: Sequence[float],
) -> Iterator[tuple[bytes, bytes]]:
    """Key and value of each row of one request, in order.

    Args:
        prediction_id: of the request.
        model: its name.
        version: of the weights that answered.
        answered_at_ms: milliseconds since the epoch.
        columns: by feature name: number float64 [n], vector float32 [n, width], category and text a string array [n].
        labels: what was answered [n].
        probabilities: of those labels [n].
    """
    listed = {
        name: column.tolist() if isinstance(column, np.ndarray) else column.to_pylist()
        for name, column in columns.items()
    }
    answered_at, num_rows = to_rfc3339(answered_at_ms), len(labels)
    for row, (label, probability) in enumerate(zip(labels, probabilities, strict=True)):
        key = row_id(prediction_id, row, num_rows)
        record = {
            "prediction_id": key,
            "model": model,
            "model_version": version,
            "answered_at": answered_at,
            "features": {name: values[row] for name, values in listed.items()},
            "label": label,
            "probability": probability,
        }
        yield key.encode(), msgspec.json.encode(record)
