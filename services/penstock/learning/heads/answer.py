"""What learner and replica share: from rows to the opinion of every member, and to their mixture."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from penstock.learning.heads.discriminant import Readout
from penstock.learning.heads.features import RandomFeatures
from penstock.learning.heads.mixture import mixed, opinions
from penstock.learning.heads.neighbours import Neighbours

Float64s = npt.NDArray[np.float64]
UInt64s = npt.NDArray[np.uint64]
Bools = npt.NDArray[np.bool_]

MEMBERS = ("linear", "analytic", "forgetting", "near", "far")
"""In the order in which scores stand."""


@dataclass(frozen=True, kw_only=True)
class Answer:
    """The members of the moment. `live` [C] marks classes that may be answered; None: all."""

    members: tuple[str, ...]
    num_classes: int
    features: RandomFeatures | None
    readouts: Mapping[str, Readout | None]
    neighbours: Mapping[str, Neighbours | None]
    live: Bools | None = None
    abstaining: Bools | None = None
    """[K, C]: members that know nothing of a class yet and leave it to the analytic head."""

    @property
    def num_live(self) -> int:
        return self.num_classes if self.live is None else int(self.live.sum())

    def scores(
        self,
        rows: Float64s,
        linear: Float64s | None,
        leave_out: UInt64s | None = None,
        make_way: Callable[[], None] = lambda: None,
    ) -> Float64s:
        """[K, n, C] for `rows` [n, d] and the linear head's logits [n, ≥ C]; `leave_out` [n] as for neighbours.

        `make_way` is called after each member.
        """
        scores = np.empty((len(self.members), len(rows), self.num_classes))
        for place, member in enumerate(self.members):
            if member == "linear":
                assert linear is not None
                scores[place] = linear[:, : self.num_classes]
            elif member in self.readouts:
                self._read_out(member, rows, scores[place])
            else:
                near = self.neighbours[member]
                scores[place] = 0.0 if near is None else near.scores(rows, self.num_classes, leave_out)
            make_way()
        if self.live is not None:
            scores[:, :, ~self.live] = -np.inf
        return scores

    def opinions(self, scores: Float64s, temperatures: Float64s) -> Float64s:
        """Probabilities [K, n, C]."""
        found = opinions(scores, temperatures, self.num_live)
        return found if self.abstaining is None else self._without_abstentions(found)

    def probabilities(
        self, rows: Float64s, linear: Float64s | None, temperatures: Float64s, weights: Float64s
    ) -> Float64s:
        """[n, C], the mixture."""
        return mixed(self.opinions(self.scores(rows, linear), temperatures), weights)

    def _read_out(self, member: str, rows: Float64s, into: Float64s) -> None:
        readout = self.readouts[member]
        if readout is None or not self._knows_any(readout):
            into[:] = 0.0
            return
        if member == "analytic":
            assert self.features is not None
            rows = self.features(rows)
        known = readout.weights.shape[1]
        into[:, :known] = readout.scores(rows)
        into[:, known:] = -np.inf

    def _knows_any(self, readout: Readout) -> bool:
        """False where all that it knows is asleep: it has no opinion then."""
        known = readout.biases > -np.inf
        return bool((known if self.live is None else known & self.live[: len(known)]).any())

    def _without_abstentions(self, found: Float64s) -> Float64s:
        assert self.abstaining is not None
        known = found[self.members.index("analytic")]
        for place in np.flatnonzero(self.abstaining.any(axis=1)):
            silent = self.abstaining[place]
            found[place][:, silent] = 0.0
            rest = found[place].sum(axis=1, keepdims=True)
            found[place] *= (1 - known[:, silent].sum(axis=1, keepdims=True)) / np.maximum(rest, 1e-12)
            found[place][:, silent] = known[:, silent]
        return found
