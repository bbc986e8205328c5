"""Everything that must survive, and the weights file in it."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from penstock.flow.label_log import LabelLog, Offsets
from penstock.flow.values import Array, Json


@dataclass(frozen=True, kw_only=True)
class SlotChanges:
    """Rows of the reservoir that changed since the previous capture.

    `slots` int64 [k]; each array of `columns` has k rows, one per slot. With `full`, everything not listed is empty.
    """

    full: bool
    slots: npt.NDArray[np.int64]
    columns: Mapping[str, Array]


@dataclass(frozen=True, kw_only=True)
class Weights:
    """A weights file: safetensors whose metadata holds the model card; `sha256` is of all its bytes."""

    content: bytes = field(repr=False)
    sha256: str
    class_ledger_digest: str

    @property
    def size_bytes(self) -> int:
        return len(self.content)


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """Everything that must survive the trainer, taken between two micro-batches.

    `tensors` are host arrays by dotted name; `state` is JSON (class ledger, scores, generators, counts). `version` is
    the version that the weights carry when they are announced. `packets` are those of the classes asleep, by file name.
    """

    model: str
    schema_digest: str
    epoch: int
    version: int
    step: int
    events_learnt: int
    offsets: Offsets
    trained_until_ms: int
    tensors: Mapping[str, Array] = field(repr=False)
    state: Mapping[str, Json] = field(repr=False)
    reservoir: SlotChanges = field(repr=False)
    mlflow_run_id: str | None = None
    packets: Mapping[str, bytes] = field(default_factory=dict, repr=False)
    label_log: LabelLog = field(default_factory=LabelLog)
