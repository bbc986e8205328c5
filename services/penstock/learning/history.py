"""Under which moments each event was learnt, so that it can be taken out of exact sums as it was put in.

The heads' inputs are standardised by moments that stand still between steps (`heads.inputs`). A step is remembered with
the place that every partition had reached, and with how many rows had been offered to the reservoir; there is one for
each quarter by which the stream grows, so few.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from penstock.flow import Array

Float64s = npt.NDArray[np.float64]
Int64s = npt.NDArray[np.int64]
UInt64s = npt.NDArray[np.uint64]
Bools = npt.NDArray[np.bool_]

_ROW_BITS = 24
_NOWHERE = -1


@dataclass(frozen=True, kw_only=True)
class Scale:
    """Moments that were in force for a while: `mean` and `inverse_deviation` [d]."""

    mean: Float64s
    inverse_deviation: Float64s


class History:
    """What has been learnt, by place; `frontier` is the next place of each partition, −1 before its first event."""

    def __init__(self) -> None:
        self._frontier: Int64s = np.empty(0, dtype=np.int64)
        self._frontiers: list[Int64s] = []
        self._scales: list[Scale] = []
        self._offered_at: list[int] = []
        self._rebuilt_at: Int64s | None = None
        self._rebuilt_scale = -1
        self._survivors: UInt64s = np.empty(0, dtype=np.uint64)

    @property
    def was_rebuilt(self) -> bool:
        """True if sums have been built anew from kept rows, so that not every learnt event is in them."""
        return self._rebuilt_at is not None

    @property
    def has_one_scale(self) -> bool:
        """True while all that is in the sums was put in under the moments of now."""
        return len(self._scales) - 1 <= max(self._rebuilt_scale, 0)

    def learnt(self, partitions: npt.NDArray[np.int32], offsets: Int64s, rows: npt.NDArray[np.int32]) -> None:
        """Rows of events [n ≥ 1] have been learnt."""
        largest = int(partitions.max())
        if largest >= len(self._frontier):
            self._frontier = widened(self._frontier, largest + 1)
        places = packed_places(offsets, rows) + 1
        if int(partitions.min()) == largest:  # mostly there is one, and then this takes a tenth of the time
            self._frontier[largest] = max(int(self._frontier[largest]), int(places.max()))
        else:
            np.maximum.at(self._frontier, partitions, places)

    @property
    def scale_number(self) -> int:
        """Which of all moments so far are in force, from 0; −1 before the first."""
        return len(self._scales) - 1

    @property
    def frontier(self) -> Int64s:
        """By partition the next place, as `packed`; −1 before the first event; not a copy."""
        return self._frontier

    def rescaled(self, scale: Scale, *, num_offered: int) -> None:
        """What is learnt from here on is standardised so; `num_offered` rows were offered to the reservoir before."""
        self._frontiers.append(self._frontier.copy())
        self._scales.append(scale)
        self._offered_at.append(num_offered)

    def read_again(self) -> None:
        """All that is in the sums has been put in again, standardised as now."""
        self._rebuilt_scale = len(self._scales) - 1

    def rebuilt(self, survivors: UInt64s) -> None:
        """Sums are those of the rows with these priorities [k], standardised as now."""
        self._rebuilt_at = self._frontier.copy()
        self.read_again()
        self._survivors = np.sort(survivors)

    def has_come(self, partition: int, offset: int, row: int) -> bool:
        """True if the event at this place has been learnt, or passed over."""
        return packed(offset, row) < _reached(self._frontier, partition)

    def is_in_sums(self, partition: int, offset: int, row: int, priority: int) -> bool:
        """True if a learnt event is in the exact sums still."""
        if self._rebuilt_at is None or packed(offset, row) >= _reached(self._rebuilt_at, partition):
            return True
        at = int(np.searchsorted(self._survivors, np.uint64(priority)))
        return at < len(self._survivors) and int(self._survivors[at]) == priority

    def scale_of(self, partition: int, offset: int, row: int) -> Scale | None:
        """How an event in the sums was standardised; None where inputs have no moments."""
        if not self._scales:
            return None
        place = packed(offset, row)
        before = [step for step, at in enumerate(self._frontiers) if _reached(at, partition) <= place]
        return self.scale_numbered(before[-1] if before else 0)

    def scale_of_offer(self, time: int) -> Scale | None:
        """The same, of the event that was offered to the reservoir after `time` others, and is in the sums."""
        return self.scale_numbered(int(np.searchsorted(self._offered_at, time, side="right")) - 1)

    def are_scaled_otherwise(self, times: Int64s) -> Bools:
        """[n]: which of the events that were offered after `times` others are in the sums by other moments than now."""
        return self._numbers_of_offers(times) < self.scale_number

    def scales_of_offers(self, times: Int64s) -> Scale:
        """`scale_of_offer` of each of [n ≥ 1], where inputs have moments: [n, d]."""
        scales = [self._scales[number] for number in self._numbers_of_offers(times).tolist()]
        return Scale(
            mean=np.stack([scale.mean for scale in scales]),
            inverse_deviation=np.stack([scale.inverse_deviation for scale in scales]),
        )

    def scale_numbered(self, number: int) -> Scale | None:
        """The same, of an event in the sums that was learnt when `scale_number` was this."""
        return self._scales[max(number, self._rebuilt_scale, 0)] if self._scales else None

    def _numbers_of_offers(self, times: Int64s) -> Int64s:
        numbers: Int64s = np.searchsorted(self._offered_at, times, side="right") - 1
        return np.maximum(numbers, max(self._rebuilt_scale, 0))

    def state(self) -> dict[str, Array]:
        """Copies."""
        width = len(self._frontier)
        frontiers = [widened(at, width) for at in self._frontiers]
        means = [scale.mean for scale in self._scales]
        inverse_deviations = [scale.inverse_deviation for scale in self._scales]
        rebuilt = [] if self._rebuilt_at is None else [widened(self._rebuilt_at, width)]
        num_columns = len(self._scales[0].mean) if self._scales else 0
        return {
            "frontier": self._frontier.copy(),
            "frontiers": np.array(frontiers, dtype=np.int64).reshape(len(frontiers), width),
            "means": np.array(means).reshape(len(means), num_columns),
            "inverse_deviations": np.array(inverse_deviations).reshape(len(means), num_columns),
            "offered_at": np.array(self._offered_at, dtype=np.int64),
            "rebuilt_at": np.array(rebuilt, dtype=np.int64).reshape(len(rebuilt), width),
            "rebuilt_scale": np.array([self._rebuilt_scale], dtype=np.int64),
            "survivors": self._survivors.copy(),
        }

    def load(self, arrays: Mapping[str, Array]) -> None:
        """Take up the values of `state()`."""
        self._frontier = arrays["frontier"].astype(np.int64)
        self._frontiers = list(arrays["frontiers"].astype(np.int64))
        self._scales = [
            Scale(mean=mean, inverse_deviation=inverse_deviation)
            for mean, inverse_deviation in zip(
                arrays["means"].astype(np.float64), arrays["inverse_deviations"].astype(np.float64), strict=True
            )
        ]
        self._offered_at = arrays["offered_at"].astype(np.int64).tolist()
        rebuilt = arrays["rebuilt_at"].astype(np.int64)
        self._rebuilt_at = rebuilt[0] if len(rebuilt) else None
        self._rebuilt_scale = int(arrays["rebuilt_scale"][0])
        self._survivors = arrays["survivors"].astype(np.uint64)


def packed(offset: int, row: int) -> int:
    """A place within a partition as one number, in the order of the log."""
    return (offset << _ROW_BITS) + row


def packed_places(offsets: Int64s, rows: npt.NDArray[np.int32]) -> Int64s:
    """The same for events [n]."""
    return (offsets << _ROW_BITS) + rows


def unpacked(place: int) -> tuple[int, int]:
    """The offset and the row of a `packed` place."""
    return place >> _ROW_BITS, place & ((1 << _ROW_BITS) - 1)


def widened(frontier: Int64s, width: int) -> Int64s:
    """The same for so many partitions; nothing has come of those that are new."""
    return np.concatenate((frontier, np.full(width - len(frontier), _NOWHERE)))


def _reached(frontier: Int64s, partition: int) -> int:
    return int(frontier[partition]) if partition < len(frontier) else _NOWHERE
