"""Accepted events of some of a batch's messages, before they stand in one batch."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from penstock.flow import EventPlace


@dataclass(frozen=True, kw_only=True)
class Part:
    """n accepted events: `message` int64 [n] is each one's message, `row` int32 [n] its position within it.

    The arrays are typed as in `wire.columns` and hold no nulls, but for `tenant`, which is None where it holds nothing
    else. `retracts` is None where no event retracts another; else for each the event that it retracts, or None.
    `judged` has, of every accepted event whose features are a prediction's, the version that answered, and whether it
    was right. `event_id` is left out where nobody asks for it.
    """

    message: npt.NDArray[np.int64]
    row: npt.NDArray[np.int32]
    features: tuple[Any, ...]
    label: Any
    weight: Any
    tenant: Any | None = None
    retracts: Sequence[EventPlace | str | None] | None = None
    judged: Sequence[tuple[int, bool]] = ()
    event_id: Any | None = None
