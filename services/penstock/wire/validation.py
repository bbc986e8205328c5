"""Events sorted by the rules, over columns: vectorised for all rows, in words only for those refused."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from penstock.features import FeatureSchema
from penstock.flow import EventPlace
from penstock.wire.event_columns import EventColumns
from penstock.wire.invalid import Fault
from penstock.wire.retraction import Target, named
from penstock.wire.rules import Finding, Mask, findings_of
from penstock.wire.vectors import VectorColumn


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


def validate(events: EventColumns, schema: FeatureSchema) -> Validated:
    """Sort the rows into accepted and refused; a refused row carries the first rule that it breaks."""
    vectors = tuple(
        VectorColumn.of(column, feature.width) if feature.width else None
        for feature, column in zip(schema, events.features, strict=True)
    )
    findings = list(findings_of(events, schema, vectors))
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


def _faults(findings: list[Finding], kept: Mask) -> Iterator[Fault]:
    for row in np.flatnonzero(~kept).tolist():
        first = next(finding for finding in findings if finding.refused[row])
        yield Fault(row=row, reason=first.reason, sentence=first.sentence(row))
