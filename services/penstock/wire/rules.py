"""What makes an event valid, rule by rule: which rows break it, and how to say so of one of them."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow.compute as pc

from penstock.features import Feature, FeatureSchema
from penstock.wire.columns import feature_column
from penstock.wire.event_columns import EventColumns
from penstock.wire.instant import RFC3339
from penstock.wire.invalid import Reason, shown
from penstock.wire.retraction import Target, problem_of
from penstock.wire.vectors import VectorColumn

Mask = npt.NDArray[np.bool_]

MAX_LABEL_CHARACTERS = 256
MAX_PREDICTION_ID_CHARACTERS = 256


@dataclass(frozen=True)
class Finding:
    """One rule that some rows break, and how to say so of one of them."""

    refused: Mask
    reason: Reason
    sentence: Callable[[int], str]


def findings_of(
    events: EventColumns, schema: FeatureSchema, vectors: tuple[VectorColumn | None, ...]
) -> Iterator[Finding]:
    """One for each rule that any row breaks, in the order in which a row is told of them."""
    yield from _event_ids(events.event_id)
    yield from _labels(events.label)
    yield from _weights(events.weight)
    yield from _instants(events.occurred_at)
    if events.retracts is not None:
        yield from _targets(events.retracts)
    yield from _prediction_ids(events.prediction_id)
    yield from _unmatched(events)
    for feature, column, vector in zip(schema, events.features, vectors, strict=True):
        if column.null_count:
            yield _missing(feature, column)
        if vector is not None:
            yield from _vectors(feature, vector)
        elif feature.kind == "number":
            yield from _numbers(feature, column)


def _event_ids(event_id: Any) -> Iterator[Finding]:
    refused = _bytes_in(event_id) < 1
    if refused.any():
        yield Finding(
            refused, "event_id", lambda row: _said("event_id", event_id, row, "it must be a string that is not empty")
        )


def _labels(label: Any) -> Iterator[Finding]:
    length = _bytes_in(label)
    if length.max(initial=0) > MAX_LABEL_CHARACTERS:
        length = pc.fill_null(pc.utf8_length(label), 0).to_numpy(zero_copy_only=False)
    refused = (length < 1) | (length > MAX_LABEL_CHARACTERS)
    if refused.any():
        rule = f"it must have 1 to {MAX_LABEL_CHARACTERS} characters"
        long = "label has {} characters; " + rule + "."
        yield Finding(
            refused,
            "label",
            lambda row: (
                long.format(length[row]) if length[row] > MAX_LABEL_CHARACTERS else _said("label", label, row, rule)
            ),
        )


def _weights(weight: Any) -> Iterator[Finding]:
    if weight.null_count == len(weight):
        return
    number = pc.fill_null(weight, 1.0).to_numpy(zero_copy_only=False)
    refused = ~((number > 0) & np.isfinite(number))
    if refused.any():
        yield Finding(refused, "weight", lambda row: f"weight is {number[row]}; it must be finite and above 0.")


def _instants(occurred_at: Any) -> Iterator[Finding]:
    if occurred_at.null_count == len(occurred_at):
        return
    matches = pc.fill_null(pc.match_substring_regex(occurred_at, RFC3339), True)
    refused = ~matches.to_numpy(zero_copy_only=False)
    if refused.any():
        yield Finding(
            refused,
            "occurred_at",
            lambda row: _said("occurred_at", occurred_at, row, "it must be an RFC 3339 instant with a zone"),
        )


def _targets(targets: Sequence[Target | None]) -> Iterator[Finding]:
    problems = [None if target is None else problem_of(target) for target in targets]
    refused = np.array([problem is not None for problem in problems])
    if refused.any():
        yield Finding(refused, "retracts", lambda row: f"{problems[row]}.")


def _prediction_ids(prediction_id: Any) -> Iterator[Finding]:
    if prediction_id.null_count == len(prediction_id):
        return
    length = pc.fill_null(pc.utf8_length(prediction_id), 1).to_numpy(zero_copy_only=False)
    refused = (length < 1) | (length > MAX_PREDICTION_ID_CHARACTERS)
    if refused.any():
        rule = f"it must have 1 to {MAX_PREDICTION_ID_CHARACTERS} characters"
        yield Finding(refused, "prediction_id", lambda row: _said("prediction_id", prediction_id, row, rule))


def _unmatched(events: EventColumns) -> Iterator[Finding]:
    if not events.unmatched:
        return
    refused = np.zeros(events.num_rows, dtype=np.bool_)
    refused[list(events.unmatched)] = True
    yield Finding(refused, "unmatched", lambda row: events.unmatched[row])


def _missing(feature: Feature, column: Any) -> Finding:
    refused = column.is_null().to_numpy(zero_copy_only=False)
    sentence = f"{feature_column(feature.name)} is missing or null; the model reads {_what(feature)}."
    return Finding(refused, "field", lambda _: sentence)


def _numbers(feature: Feature, column: Any) -> Iterator[Finding]:
    number = pc.fill_null(column, 0.0).to_numpy(zero_copy_only=False) if column.null_count else column.to_numpy()
    refused = ~np.isfinite(number)
    if refused.any():
        name = feature_column(feature.name)
        yield Finding(refused, "field", lambda row: f"{name} is {number[row]}; it must be a finite number.")


def _vectors(feature: Feature, vector: VectorColumn) -> Iterator[Finding]:
    name = feature_column(feature.name)
    wrong_width = vector.wrong_width()
    if wrong_width.any():
        yield Finding(
            wrong_width,
            "field",
            lambda row: f"{name} holds {_numbers_in(vector.length(row))}; the model reads {feature.width}.",
        )
    not_finite = vector.not_finite()
    if not_finite is not None:
        yield Finding(
            not_finite, "field", lambda row: f"{name}{vector.first_not_finite(row)}; all must be finite as float32."
        )


def _numbers_in(length: int) -> str:
    return "1 number" if length == 1 else f"{length} numbers"


def _what(feature: Feature) -> str:
    if feature.kind == "vector":
        return f"a list of {_numbers_in(feature.dense_width)}"
    return "a number" if feature.kind == "number" else "a string"


def _bytes_in(column: Any) -> npt.NDArray[np.int32]:
    """Length of each string in bytes; 0 where there is none."""
    length = pc.binary_length(column)
    filled: npt.NDArray[np.int32] = (pc.fill_null(length, 0) if length.null_count else length).to_numpy()
    return filled


def _said(name: str, column: Any, row: int, rule: str) -> str:
    value = column[row].as_py()
    what = "missing or null" if value is None else "empty" if value == "" else shown(value)
    return f"{name} is {what}; {rule}."
