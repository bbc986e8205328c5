"""Accepted events of some of a batch's messages, before they stand in one batch."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True, kw_only=True)
class Part:
    """n accepted events: `message` int64 [n] is each one's message, `row` int32 [n] its position within it.

    The arrays are typed as in `wire.columns` and hold no nulls.
    """

    message: npt.NDArray[np.int64]
    row: npt.NDArray[np.int32]
    features: tuple[Any, ...]
    label: Any
    weight: Any
