"""Every event is kept with the same chance, whatever its class and age."""

import numpy as np
import numpy.typing as npt

from penstock.replay.policy import Arrivals


class UniformKey:
    """The lower the hash, the higher the key: the kept set is a uniform sample of all events seen."""

    def of(self, arrivals: Arrivals) -> npt.NDArray[np.uint64]:
        """uint64 [n]."""
        return ~arrivals.priorities
