"""The older an event, the smaller its chance of being kept: half of it for each half-life."""

import math

import numpy as np
import numpy.typing as npt

from penstock.replay.policy import Arrivals

_HASHES = 2.0**64
_BELOW_ONE = 1 - 2.0**-53


class RecencyKey:
    """λt + Gumbel(hash) with λ = ln 2 / half-life.

    The highest such keys are a sample without replacement, drawn in proportion to exp(λt): Yellott, "The relationship
    between Luce's choice axiom, Thurstone's theory of comparative judgment, and the double exponential distribution"
    (1977); Efraimidis, Spirakis, "Weighted random sampling with a reservoir" (2006).
    """

    def __init__(self, half_life_events: float) -> None:
        self._rate = math.log(2) / half_life_events

    def of(self, arrivals: Arrivals) -> npt.NDArray[np.float64]:
        """float64 [n]."""
        uniform = np.minimum((arrivals.priorities.astype(np.float64) + 0.5) / _HASHES, _BELOW_ONE)
        return self._rate * arrivals.times.astype(np.float64) - np.log(-np.log(uniform))
