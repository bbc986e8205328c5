"""One class's part of all heads: copied into a packet, taken out, put back, or known from rows like its own."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from penstock.flow import Array
from penstock.learning.heads.absence import Attendance
from penstock.learning.heads.analytic import AnalyticHead
from penstock.learning.heads.exceptions import Exceptions
from penstock.learning.heads.forgetting import FADING, ForgettingHead
from penstock.learning.heads.spread import Spread
from penstock.learning.heads.sums import ClassSums

Float64s = npt.NDArray[np.float64]
Int64s = npt.NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class ClassParts:
    """Works on heads that it does not own; None where there is no such head. Solve the analytic one afterwards."""

    analytic: AnalyticHead | None
    forgetting: ForgettingHead | None
    exceptions: Exceptions | None
    attendance: Attendance

    def copies_of(self, label: int, rows: Float64s, weights: Float64s) -> dict[str, Array]:
        """What a packet holds of a class, by dotted name; `rows` [n, d] with `weights` are those kept of it."""
        arrays: dict[str, Array] = {}
        if self.analytic is not None:
            packet = self.analytic.sums_of(label)
            arrays |= arrays_of(packet)
            if len(rows):
                spread = Spread.of(self.analytic.features(rows), weights)
                arrays |= {f"analytic.{name}": array for name, array in spread.state().items()}
        if self.forgetting is not None:
            count, mean = self.forgetting.mean_of(label)
            arrays |= {"forgetting.count": np.array([count]), "forgetting.mean": mean}
        return arrays

    def take_out(self, labels: Int64s) -> None:
        """Classes fall asleep."""
        if self.analytic is not None:
            for label in labels.tolist():
                self.analytic.take_out(label)
        if self.forgetting is not None:
            self.forgetting.drop(labels)
        if self.exceptions is not None:
            self.exceptions.drop(labels.tolist())
        self.attendance.fall_asleep(labels)

    def put_back(self, label: int, arrays: Mapping[str, Array], *, slept_events: int, with_scatter: bool) -> None:
        """What `copies_of` gave, which must fit; `with_scatter` where G does not hold the class's rows."""
        if self.analytic is not None:
            packet = class_sums(arrays)
            if with_scatter and packet.count > 0:
                self.analytic.add_scatter(
                    _spread(arrays).scatter(packet.count, packet.sums[: self.analytic.features.size])
                )
            self.analytic.put_back(label, packet, slept_rows=0 if with_scatter else slept_events)
        if self.forgetting is not None and "forgetting.mean" in arrays:
            self.forgetting.put_back(
                label, float(arrays["forgetting.count"][0]), arrays["forgetting.mean"].astype(np.float64)
            )
        self.attendance.wake(label, slept_events)

    def know_from(self, label: int, rows: Float64s, count: float, *, slept_events: int) -> None:
        """Know a class, which has slept so long, from rows [n, d] that are like `count` of its own."""
        if self.analytic is not None:
            self.analytic.know_from(label, rows, count)
        if self.forgetting is not None:
            self.forgetting.put_back(label, min(count, 1 / (1 - FADING)), rows.mean(axis=0))
        self.attendance.wake(label, slept_events)


def class_sums(arrays: Mapping[str, Array]) -> ClassSums:
    """The part of `copies_of` that is the analytic head's."""
    return ClassSums(
        count=float(arrays["analytic.count"][0]),
        squares=float(arrays["analytic.squares"][0]),
        sums=arrays["analytic.sums"].astype(np.float64),
    )


def arrays_of(packet: ClassSums) -> dict[str, Array]:
    """The inverse of `class_sums`."""
    return {
        "analytic.count": np.array([packet.count]),
        "analytic.squares": np.array([packet.squares]),
        "analytic.sums": packet.sums,
    }


def _spread(arrays: Mapping[str, Array]) -> Spread:
    return Spread(
        factor=arrays["analytic.factor"].astype(np.float16), remainder=arrays["analytic.remainder"].astype(np.float32)
    )
