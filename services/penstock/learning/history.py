"""Under which moments each event was learnt, so that it can be taken out of exact sums as it was put in.

The heads' inputs are standardised by moments that stand still between steps (`heads.inputs`). A step is remembered with
the place that every partition had reached, and with how many rows had been offered to the reservoir; there is one for
each quarter by which the stream grows, so few.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

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


@dataclass(frozen=True, kw_only=True)
class Rebuilt:
    """Sums were built anew from kept rows when partitions had reached `at` (empty: never were they).

    Of what was learnt before, the rows of the priorities `survivors` [k], sorted, are in them, under the moments
    numbered `scale`, or under their own where those are newer.
    """

    at: Int64s
    scale: int
    survivors: UInt64s

    def holds(self, partition: int, place: int, priority: int) -> bool:
        """True if a learnt event is in the sums still."""
        if place >= _reached(self.at, partition):
            return True
        found = int(np.searchsorted(self.survivors, np.uint64(priority)))
        return found < len(self.survivors) and int(self.survivors[found]) == priority


class History:
    """What has been learnt, by place; `frontier` is the next place of each partition, −1 before its first event."""

    def __init__(self) -> None:
        self._frontier: Int64s = np.empty(0, dtype=np.int64)
        self._frontiers: list[Int64s] = []
        self._scales: list[Scale] = []
        self._offered_at: list[int] = []
        self._rebuilt = Rebuilt(at=np.empty(0, dtype=np.int64), scale=-1, survivors=np.empty(0, dtype=np.uint64))
        self._as_they_slept: dict[int, Rebuilt] = {}
        """Of classes that slept when sums were built anew last: what is true of theirs, which their packets hold."""

    @property
    def was_rebuilt(self) -> bool:
        """True if sums have been built anew from kept rows, so that not every learnt event is in them."""
        return len(self._rebuilt.at) > 0

    @property
    def has_one_scale(self) -> bool:
        """True while all that is in the sums was put in under the moments of now."""
        return len(self._scales) - 1 <= max(self._rebuilt.scale, 0)

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
        self._rebuilt = replace(self._rebuilt, scale=len(self._scales) - 1)

    def rebuilt(self, survivors: UInt64s, asleep: Sequence[int] = ()) -> None:
        """Sums are those of the rows with these priorities [k], standardised as now, but not of classes `asleep`."""
        self._as_they_slept = {label: self._of(label) for label in asleep}
        self._rebuilt = Rebuilt(at=self._frontier.copy(), scale=len(self._scales) - 1, survivors=np.sort(survivors))

    def slept_through(self, label: int, partition: int, offset: int, row: int) -> bool:
        """True if an event of this class was learnt before sums were built anew, and was in its packet by then."""
        return label in self._as_they_slept and packed(offset, row) < _reached(self._rebuilt.at, partition)

    def has_come(self, partition: int, offset: int, row: int) -> bool:
        """True if the event at this place has been learnt, or passed over."""
        return packed(offset, row) < _reached(self._frontier, partition)

    def is_in_sums(self, partition: int, offset: int, row: int, *, priority: int, label: int) -> bool:
        """True if a learnt event of this class is in the exact sums still, or in the packet of the class."""
        return self._of(label).holds(partition, packed(offset, row), priority)

    def scale_of(self, partition: int, offset: int, row: int, *, label: int) -> Scale | None:
        """How an event that is there was standardised; None where inputs have no moments."""
        if not self._scales:
            return None
        place = packed(offset, row)
        before = [step for step, at in enumerate(self._frontiers) if _reached(at, partition) <= place]
        return self._scales[max(before[-1] if before else 0, self._of(label).scale)]

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
        return self._scales[max(number, self._rebuilt.scale, 0)] if self._scales else None

    def let_go(self, partition: int, resumed_at: int | None) -> None:
        """What comes from this offset on, None for all of it, are other events than those learnt at these places."""
        place = _NOWHERE if resumed_at is None else packed(resumed_at, 0)
        self._frontier = _lowered(self._frontier, partition, place)
        self._frontiers = [_lowered(at, partition, place) for at in self._frontiers]
        self._rebuilt = replace(self._rebuilt, at=_lowered(self._rebuilt.at, partition, place))
        self._as_they_slept = {
            label: replace(each, at=_lowered(each.at, partition, place)) for label, each in self._as_they_slept.items()
        }

    def _of(self, label: int) -> Rebuilt:
        return self._as_they_slept.get(label, self._rebuilt)

    def _numbers_of_offers(self, times: Int64s) -> Int64s:
        numbers: Int64s = np.searchsorted(self._offered_at, times, side="right") - 1
        return np.maximum(numbers, max(self._rebuilt.scale, 0))

    def state(self) -> dict[str, Array]:
        """Copies."""
        width = len(self._frontier)
        frontiers = [widened(at, width) for at in self._frontiers]
        means = [scale.mean for scale in self._scales]
        inverse_deviations = [scale.inverse_deviation for scale in self._scales]
        rebuilds = [self._rebuilt, *self._as_they_slept.values()]
        num_columns = len(self._scales[0].mean) if self._scales else 0
        return {
            "frontier": self._frontier.copy(),
            "frontiers": np.array(frontiers, dtype=np.int64).reshape(len(frontiers), width),
            "means": np.array(means).reshape(len(means), num_columns),
            "inverse_deviations": np.array(inverse_deviations).reshape(len(means), num_columns),
            "offered_at": np.array(self._offered_at, dtype=np.int64),
            "rebuilt_at": np.concatenate([each.at for each in rebuilds]),
            "rebuilt_scale": np.array([each.scale for each in rebuilds], dtype=np.int64),
            "survivors": np.concatenate([each.survivors for each in rebuilds]),
            "rebuilt_lengths": np.array([(len(each.at), len(each.survivors)) for each in rebuilds], dtype=np.int64),
            "as_they_slept": np.array(list(self._as_they_slept), dtype=np.int64),
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
        self._rebuilt, *others = _rebuilds(arrays)
        self._as_they_slept = dict(zip(arrays["as_they_slept"].astype(np.int64).tolist(), others, strict=True))


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


def _lowered(frontier: Int64s, partition: int, place: int) -> Int64s:
    lowered = frontier.copy()
    lowered[partition : partition + 1] = np.minimum(lowered[partition : partition + 1], place)
    return lowered


def _rebuilds(arrays: Mapping[str, Array]) -> list[Rebuilt]:
    """Those of `History.state`."""
    lengths = arrays["rebuilt_lengths"].astype(np.int64)
    ends = np.cumsum(lengths, axis=0)[:-1]
    places = np.split(arrays["rebuilt_at"].astype(np.int64), ends[:, 0])
    survivors = np.split(arrays["survivors"].astype(np.uint64), ends[:, 1])
    scales = arrays["rebuilt_scale"].astype(np.int64).tolist()
    return [
        Rebuilt(at=at, scale=scale, survivors=some) for at, scale, some in zip(places, scales, survivors, strict=True)
    ]


def _reached(frontier: Int64s, partition: int) -> int:
    return int(frontier[partition]) if partition < len(frontier) else _NOWHERE
