"""Fixed features of a row for the analytic head: the row itself, and random ones of it."""

import hashlib
import math
from functools import lru_cache

import numpy as np
import numpy.typing as npt

Float64s = npt.NDArray[np.float64]

FEWEST_RANDOM, MOST_RANDOM = 256, 1024
_WIDE = 128
_TAG = 0xA11A


def num_random_for(width: int) -> int:
    """The power of two from 12 × width on, within 256 and 1024; 256 for rows wider than 128."""
    if width > _WIDE:
        return FEWEST_RANDOM
    return min(max(1 << math.ceil(math.log2(12 * max(width, 1))), FEWEST_RANDOM), MOST_RANDOM)


class RandomFeatures:
    """ψ(x) = [1, x/2, relu(Rx + b)] with R ~ N(0, 1/d) and b ~ N(0, ½²) drawn from the seed.

    The random ones stand last, so that fewer of them are a prefix of the same ψ.
    """

    def __init__(self, width: int, num_random: int, *, seed: int) -> None:
        self.width = width
        self.seed = seed
        self.num_random = num_random
        self._matrix, self._biases = _drawn(width, num_random, seed)

    @property
    def size(self) -> int:
        """m, the length of ψ."""
        return 1 + self.width + self.num_random

    @property
    def fingerprint(self) -> str:
        """Of ψ, however many of its random features are in use: the same for the same width and seed alone."""
        return hashlib.sha256(f"random features 1, width {self.width}, seed {self.seed}".encode()).hexdigest()

    def __call__(self, rows: Float64s) -> Float64s:
        """[n, m] of `rows` [n, width]."""
        psi: Float64s = np.empty((len(rows), self.size))
        psi[:, 0] = 1.0
        np.multiply(rows, 0.5, out=psi[:, 1 : 1 + self.width])
        hidden = rows @ self._matrix
        hidden += self._biases
        np.maximum(hidden, 0.0, out=psi[:, 1 + self.width :])
        return psi

    def with_fewer(self, num_random: int) -> "RandomFeatures":
        """The same ψ without the last random features."""
        return RandomFeatures(self.width, num_random, seed=self.seed)


@lru_cache(maxsize=4)  # the versions that a replica takes up share them
def _drawn(width: int, num_random: int, seed: int) -> tuple[Float64s, Float64s]:
    """R transposed [width, num_random] and b [num_random]; not to be written to."""
    generator = np.random.Generator(np.random.PCG64((seed, _TAG)))
    matrix = generator.normal(size=(MOST_RANDOM, width)) / math.sqrt(max(width, 1))
    biases: Float64s = generator.normal(size=MOST_RANDOM)[:num_random] * 0.5
    return np.ascontiguousarray(matrix[:num_random].T), biases
