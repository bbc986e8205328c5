"""How good the answers were that replicas gave, by version, as late labels judge them."""

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from penstock.flow import Array, JudgedAnswers

KEPT = 256
"""The newest versions with judged answers that are remembered."""


class JudgedVersions:
    """Counts of events and of right answers; those of versions older than the newest `KEPT` are forgotten."""

    def __init__(self) -> None:
        self._counts: npt.NDArray[np.int64] = np.zeros((0, 3), dtype=np.int64)
        """[k, 3]: version, events, right; oldest version first."""

    def add(self, judged: Sequence[JudgedAnswers]) -> None:
        """Take in those of one micro-batch."""
        if not judged:
            return
        new = np.array([(one.version, one.events, one.right) for one in judged], dtype=np.int64)
        together = np.concatenate((self._counts, new))
        versions, place = np.unique(together[:, 0], return_inverse=True)
        counts = np.zeros((len(versions), 3), dtype=np.int64)
        counts[:, 0] = versions
        np.add.at(counts[:, 1:], place, together[:, 1:])
        self._counts = counts[-KEPT:]

    def by_version(self) -> tuple[JudgedAnswers, ...]:
        """Oldest version first."""
        return tuple(
            JudgedAnswers(version=version, events=events, right=right)
            for version, events, right in self._counts.tolist()
        )

    def tensors(self) -> dict[str, Array]:
        """A copy of all of it, for a checkpoint."""
        return {"counts": self._counts.copy()}

    def restore(self, tensors: Mapping[str, Array]) -> None:
        """Go on from `tensors()`; from those of a release that did not count, with nothing."""
        if "counts" in tensors:
            self._counts = tensors["counts"].astype(np.int64)
