"""Which events have been retracted lately, by every name that was known of them, so that none is undone twice."""

from collections.abc import Mapping

import numpy as np

from penstock.flow import Array

MOST_REMEMBERED = 2 * 4096
"""Names; an event has one or two."""


class Retracted:
    """Hashes of the names of the newest targets: of their places, of their ids."""

    def __init__(self) -> None:
        self._hashes: dict[int, None] = {}

    def __contains__(self, name: int | None) -> bool:
        return name in self._hashes

    def add(self, *names: int) -> None:
        """Those of one event; the oldest make room."""
        self._hashes.update(dict.fromkeys(names))
        while len(self._hashes) > MOST_REMEMBERED:
            del self._hashes[next(iter(self._hashes))]

    def state(self) -> dict[str, Array]:
        """A copy."""
        return {"retracted": np.array(list(self._hashes), dtype=np.uint64)}

    def load(self, arrays: Mapping[str, Array]) -> None:
        """Take up the values of `state()`."""
        self._hashes = dict.fromkeys(arrays["retracted"].astype(np.uint64).tolist())
