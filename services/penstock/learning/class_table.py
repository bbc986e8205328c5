"""The classes of a model with what is known of each, for people: from a checkpoint, or from the ledger alone."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import cast

import numpy as np
import numpy.typing as npt

from penstock.flow import Array, Checkpoint, Json
from penstock.learning.ledger import ClassLedger, ClassState

EVENTS, ROWS, RECALL = "classes.events", "classes.rows", "classes.recall"


@dataclass(frozen=True, kw_only=True)
class ClassRow:
    """One class. `events` were learnt of it, `rows` of them are kept for replay, `recall` is of its newest events."""

    name: str
    index: int
    state: ClassState
    generation: int
    tenant: str | None
    events: int | None = None
    rows: int | None = None
    recall: float | None = None

    def to_json(self) -> dict[str, Json]:
        """For `--json`."""
        return cast(dict[str, Json], asdict(self))


def rows_of_ledger(ledger: ClassLedger) -> list[ClassRow]:
    """What the ledger alone knows, by index."""
    return [
        ClassRow(
            name=entry.name, index=entry.index, state=entry.state, generation=entry.generation, tenant=entry.tenant
        )
        for entry in ledger.entries
    ]


def table_tensors(
    events: npt.NDArray[np.int64], rows: npt.NDArray[np.int64], recall: npt.NDArray[np.float64]
) -> dict[str, Array]:
    """What a checkpoint says of its classes [C] for `rows_of_checkpoint`; recall is NaN where nothing was scored."""
    return {EVENTS: events.copy(), ROWS: rows, RECALL: recall}


def rows_of_checkpoint(checkpoint: Checkpoint) -> list[ClassRow]:
    """All of it, by index. Raises `KeyError` or `ValueError` where the checkpoint is of another release."""
    tensors: Mapping[str, Array] = checkpoint.tensors
    columns = zip(*(tensors[name].tolist() for name in (EVENTS, ROWS, RECALL)), strict=True)
    entries = rows_of_ledger(ClassLedger.from_json(checkpoint.state["class_ledger"]))
    return [
        replace(entry, events=events, rows=rows, recall=None if math.isnan(recall) else recall)
        for entry, (events, rows, recall) in zip(entries, columns, strict=True)
    ]
