"""Everything that must survive, and the weights file in it."""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from threading import Lock

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


class Weights:
    """A weights file: safetensors whose metadata holds the model card."""

    def __init__(self, content: bytes | Callable[[], bytes], *, class_ledger_digest: str) -> None:
        """`content`, or what makes it when it is first asked for, in the thread that asks."""
        self._content = content
        self._making = Lock()
        self.class_ledger_digest = class_ledger_digest

    @property
    def content(self) -> bytes:
        """All of its bytes."""
        with self._making:
            if not isinstance(self._content, bytes):
                self._content = self._content()
            return self._content

    @cached_property
    def sha256(self) -> str:
        """Of all its bytes, in hex."""
        return hashlib.sha256(self.content).hexdigest()

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
