"""The newest events are kept and no others."""

from penstock.replay.policy import Arrivals, Int64s


class WindowKey:
    """The later, the higher."""

    def of(self, arrivals: Arrivals) -> Int64s:
        """int64 [n]."""
        return arrivals.times
