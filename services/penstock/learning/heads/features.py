"""Fixed features of a row for the analytic head: the row itself, and random ones of it."""

import hashlib
import math
from functools import lru_cache

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from penstock.learning.device import CPU

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

    def __init__(self, width: int, num_random: int, *, seed: int, device: torch.device = CPU) -> None:
        """`device` is where the products are made."""
        self.width = width
        self.seed = seed
        self.num_random = num_random
        self._device = device
        self._matrix = _drawn(width, num_random, seed).to(device)

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
        found: Float64s = self.on_device(rows).cpu().numpy()
        return found

    def on_device(self, rows: Float64s) -> Tensor:
        """The same, float64 on the device."""
        with_one = np.empty((len(rows), 1 + self.width))
        with_one[:, 0] = 1.0
        with_one[:, 1:] = rows
        psi = torch.mm(torch.from_numpy(with_one).to(self._device), self._matrix)
        psi[:, 1 + self.width :].relu_()  # torch: NumPy takes twice as long for the ReLU
        return psi

    def with_fewer(self, num_random: int) -> "RandomFeatures":
        """The same ψ without the last random features."""
        return RandomFeatures(self.width, num_random, seed=self.seed, device=self._device)


@lru_cache(maxsize=4)  # the versions that a replica takes up share them
def _drawn(width: int, num_random: int, seed: int) -> Tensor:
    """What a 1 and a row are multiplied with, [1 + width, m]: 1, halves, and R below b. Not to be written to."""
    generator = np.random.Generator(np.random.PCG64((seed, _TAG)))
    directions = generator.normal(size=(MOST_RANDOM, width)) / math.sqrt(max(width, 1))
    biases = generator.normal(size=MOST_RANDOM) * 0.5
    matrix = np.zeros((1 + width, 1 + width + num_random))
    matrix[0, 0] = 1.0
    matrix[1:, 1 : 1 + width] = 0.5 * np.eye(width)
    matrix[0, 1 + width :] = biases[:num_random]
    matrix[1:, 1 + width :] = directions[:num_random].T
    return torch.from_numpy(matrix)
