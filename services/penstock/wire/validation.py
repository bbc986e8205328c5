"""The rules of a valid event, over columns: vectorised for all rows, in words only for those refused."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from penstock.features import Feature, FeatureSchema
from penstock.flow import EventPlace
from penstock.wire.columns import feature_column
from penstock.wire.event_columns import EventColumns
from penstock.wire.instant import RFC3339
from penstock.wire.invalid import Fault, Reason, shown
from penstock.wire.retraction import Target, named, problem_of
from penstock.wire.vectors import VectorColumn

Mask = npt.NDArray[np.bool_]

MAX_LABEL_CHARACTERS = 256
MAX_PREDICTION_ID_CHARACTERS = 256


@dataclass(frozen=True, kw_only=True)
class Validated:
    """`accepted` is bool [n]; the arrays hold the accepted rows only, as `wire.part` types them."""

    accepted: Mask
    features: tuple[Any, ...]
    label: Any
    weight: Any
    tenant: Any | None
    retracts: Sequence[EventPlace | str | None] | None
    faults: tuple[Fault, ...]


@dataclass(frozen=True)
class _Finding:
    """One rule that some rows break, and how to say so of one of them."""

    refused: Mask
    reason: Reason
    sentence: Callable[[int], str]


def validate(events: EventColumns, schema: FeatureSchema) -> Validated:
    """Sort the rows into accepted and refused; a refused row carries the first rule that it breaks."""
    vectors = tuple(
        VectorColumn.of(column, feature.width) if feature.width else None
        for feature, column in zip(schema, events.features, strict=True)
    )
    findings = list(_findings(events, schema, vectors))
    weight = pc.fill_null(events.weight, 1.0) if events.weight.null_count else events.weight
    if not findings:
        kept = np.ones(events.num_rows, dtype=np.bool_)
        features = tuple(
            vector.array(None) if vector else column for vector, column in zip(vectors, events.features, strict=True)
        )
        return Validated(
            accepted=kept,
            features=features,
            label=events.label,
            weight=weight,
            tenant=_unless_all_null(events.tenant),
            retracts=_named(events.retracts, kept),
            faults=(),
        )
    kept = ~np.logical_or.reduce([finding.refused for finding in findings])
    mask = pa.array(kept)
    return Validated(
        accepted=kept,
        features=tuple(
            vector.array(kept) if vector else column.filter(mask)
            for vector, column in zip(vectors, events.features, strict=True)
        ),
        label=events.label.filter(mask),
        weight=weight.filter(mask),
        tenant=_unless_all_null(events.tenant.filter(mask)),
        retracts=_named(events.retracts, kept),
        faults=tuple(_faults(findings, kept)),
    )


def accepted_ids(events: EventColumns, checked: Validated) -> Any:
    """The `event_id` strings of the rows that were accepted."""
    return events.event_id.filter(pa.array(checked.accepted)) if checked.faults else events.event_id


def _unless_all_null(column: Any) -> Any | None:
    return None if column.null_count == len(column) else column


def _named(targets: Sequence[Target | None] | None, kept: Mask) -> Sequence[EventPlace | str | None] | None:
    if targets is None:
        return None
    accepted = (targets[row] for row in np.flatnonzero(kept).tolist())
    return [None if target is None else named(target) for target in accepted]


def _faults(findings: list[_Finding], kept: Mask) -> Iterator[Fault]:
    for row in np.flatnonzero(~kept).tolist():
        first = next(finding for finding in findings if finding.refused[row])
        yield Fault(row=row, reason=first.reason, sentence=first.sentence(row))


def _findings(
    events: EventColumns, schema: FeatureSchema, vectors: tuple[VectorColumn | None, ...]
) -> Iterator[_Finding]:
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


def _event_ids(event_id: Any) -> Iterator[_Finding]:
    refused = _bytes_in(event_id) < 1
    if refused.any():
        yield _Finding(
            refused, "event_id", lambda row: _said("event_id", event_id, row, "it must be a string that is not empty")
        )


def _labels(label: Any) -> Iterator[_Finding]:
    length = _bytes_in(label)
    if length.max(initial=0) > MAX_LABEL_CHARACTERS:
        length = pc.fill_null(pc.utf8_length(label), 0).to_numpy(zero_copy_only=False)
    refused = (length < 1) | (length > MAX_LABEL_CHARACTERS)
    if refused.any():
        rule = f"it must have 1 to {MAX_LABEL_CHARACTERS} characters"
        long = "label has {} characters; " + rule + "."
        yield _Finding(
            refused,
            "label",
            lambda row: (
                long.format(length[row]) if length[row] > MAX_LABEL_CHARACTERS else _said("label", label, row, rule)
            ),
        )


def _weights(weight: Any) -> Iterator[_Finding]:
    if weight.null_count == len(weight):
        return
    number = pc.fill_null(weight, 1.0).to_numpy(zero_copy_only=False)
    refused = ~((number > 0) & np.isfinite(number))
    if refused.any():
        yield _Finding(refused, "weight", lambda row: f"weight is {number[row]}; it must be finite and above 0.")


def _instants(occurred_at: Any) -> Iterator[_Finding]:
    if occurred_at.null_count == len(occurred_at):
        return
    matches = pc.fill_null(pc.match_substring_regex(occurred_at, RFC3339), True)
    refused = ~matches.to_numpy(zero_copy_only=False)
    if refused.any():
        yield _Finding(
            refused,
            "occurred_at",
            lambda row: _said("occurred_at", occurred_at, row, "it must be an RFC 3339 instant with a zone"),
        )


def _targets(targets: Sequence[Target | None]) -> Iterator[_Finding]:
    problems = [None if target is None else problem_of(target) for target in targets]
    refused = np.array([problem is not None for problem in problems])
    if refused.any():
        yield _Finding(refused, "retracts", lambda row: f"{problems[row]}.")


def _prediction_ids(prediction_id: Any) -> Iterator[_Finding]:
    if prediction_id.null_count == len(prediction_id):
        return
    length = pc.fill_null(pc.utf8_length(prediction_id), 1).to_numpy(zero_copy_only=False)
    refused = (length < 1) | (length > MAX_PREDICTION_ID_CHARACTERS)
    if refused.any():
        rule = f"it must have 1 to {MAX_PREDICTION_ID_CHARACTERS} characters"
        yield _Finding(refused, "prediction_id", lambda row: _said("prediction_id", prediction_id, row, rule))


def _unmatched(events: EventColumns) -> Iterator[_Finding]:
    if not events.unmatched:
        return
    refused = np.zeros(events.num_rows, dtype=np.bool_)
    refused[list(events.unmatched)] = True
    yield _Finding(refused, "unmatched", lambda row: events.unmatched[row])


def _missing(feature: Feature, column: Any) -> _Finding:
    refused = column.is_null().to_numpy(zero_copy_only=False)
    sentence = f"{feature_column(feature.name)} is missing or null; the model reads {_what(feature)}."
    return _Finding(refused, "field", lambda _: sentence)


def _numbers(feature: Feature, column: Any) -> Iterator[_Finding]:
    number = pc.fill_null(column, 0.0).to_numpy(zero_copy_only=False) if column.null_count else column.to_numpy()
    refused = ~np.isfinite(number)
    if refused.any():
        name = feature_column(feature.name)
        yield _Finding(refused, "field", lambda row: f"{name} is {number[row]}; it must be a finite number.")


def _vectors(feature: Feature, vector: VectorColumn) -> Iterator[_Finding]:
    name = feature_column(feature.name)
    wrong_width = vector.wrong_width()
    if wrong_width.any():
        yield _Finding(
            wrong_width,
            "field",
            lambda row: f"{name} holds {_numbers_in(vector.length(row))}; the model reads {feature.width}.",
        )
    not_finite = vector.not_finite()
    if not_finite is not None:
        yield _Finding(
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
