"""What the page is made from: one checkpoint, and what MLflow has on record."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from penstock.learning.ledger import ClassLedger
from penstock.learning.watching.watch import Watch


@dataclass(frozen=True, kw_only=True)
class RecordedVersion:
    """A model version in the registry for people, with figures of the moment it was announced."""

    version: int
    announced_at_ms: int
    figures: Mapping[str, float]


@dataclass(frozen=True, kw_only=True)
class Facts:
    """All of it at one moment; nothing is asked of anyone while the page is written.

    By class, int64 [C]: `class_events` counts events learnt, scored or not, `reservoir_rows` the rows of the long-term
    memory, `window_rows` those kept for being the newest. `recorded` are the newest versions, newest first. `sources`
    are sentences that say where all this comes from, and what could not be asked.
    """

    model: str
    version: int
    epoch: int
    step: int
    events_learnt: int
    trained_until_ms: int
    made_at_ms: int
    ledger: ClassLedger
    watch: Watch
    class_events: npt.NDArray[np.int64]
    reservoir_rows: npt.NDArray[np.int64]
    window_rows: npt.NDArray[np.int64]
    reservoir_capacity: int
    recorded: Sequence[RecordedVersion] = field(default=())
    sources: Sequence[str] = field(default=())
