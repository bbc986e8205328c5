"""Which events have been retracted lately, so that none is undone twice."""

from collections.abc import Mapping

import numpy as np

from penstock.flow import Array

MOST_REMEMBERED = 4096


class Retracted:
    """Hashes of the newest targets."""

    def __init__(self) -> None:
        self._hashes: dict[int, None] = {}

    def __contains__(self, target: int) -> bool:
        return target in self._hashes

    def add(self, target: int) -> None:
        """The oldest makes room."""
        self._hashes[target] = None
        if len(self._hashes) > MOST_REMEMBERED:
            del self._hashes[next(iter(self._hashes))]

    def state(self) -> dict[str, Array]:
        """A copy."""
        return {"retracted": np.array(list(self._hashes), dtype=np.uint64)}

    def load(self, arrays: Mapping[str, Array]) -> None:
        """Take up the values of `state()`."""
        self._hashes = dict.fromkeys(arrays["retracted"].astype(np.uint64).tolist())
