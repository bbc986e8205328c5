"""The demo's data: scikit-learn's 1,797 handwritten digits, streamed two new digits at a time."""

from collections.abc import Iterator
from dataclasses import dataclass

import msgspec
import numpy as np
import numpy.typing as npt
from sklearn.datasets import load_digits

HELD_OUT_SHARE = 4
"""Every fourth image of a digit is held out: never streamed, only asked about."""


@dataclass(frozen=True, kw_only=True)
class Images:
    """`pixels` float32 [n, 64], 0 to 16; `digits` int64 [n]."""

    pixels: npt.NDArray[np.float32]
    digits: npt.NDArray[np.int64]

    def of(self, wanted: tuple[int, ...]) -> "Images":
        """The images of these digits, in order."""
        chosen = np.isin(self.digits, wanted)
        return Images(pixels=self.pixels[chosen], digits=self.digits[chosen])

    def events(self, prefix: str) -> Iterator[bytes]:
        """Labelled events as JSON, one an image."""
        for index, (pixels, digit) in enumerate(zip(self.pixels.tolist(), self.digits.tolist(), strict=True)):
            yield msgspec.json.encode(
                {"event_id": f"{prefix}-{index}", "features": {"pixels": pixels}, "label": str(digit)}
            )


@dataclass(frozen=True, kw_only=True)
class DigitStream:
    """Pairs of digits in the order of their appearance; `train[i]` streams what `pairs[i]` names, shuffled."""

    pairs: tuple[tuple[int, int], ...]
    train: tuple[Images, ...]
    held_out: Images

    @property
    def num_events(self) -> int:
        """Images streamed in all."""
        return sum(len(images.digits) for images in self.train)


def digit_stream(seed: int) -> DigitStream:
    """Split every digit into streamed and held-out images; the order of images depends on `seed`."""
    generator = np.random.default_rng(seed)
    data = load_digits()
    everything = Images(pixels=data.data.astype(np.float32), digits=data.target.astype(np.int64))
    rank = np.zeros(len(everything.digits), dtype=np.int64)
    for digit in range(10):
        rows = np.flatnonzero(everything.digits == digit)
        rank[rows] = generator.permutation(len(rows))
    held_out = rank % HELD_OUT_SHARE == 0
    pairs = tuple((digit, digit + 1) for digit in range(0, 10, 2))
    train = []
    for pair in pairs:
        rows = generator.permutation(np.flatnonzero(~held_out & np.isin(everything.digits, pair)))
        train.append(Images(pixels=everything.pixels[rows], digits=everything.digits[rows]))
    return DigitStream(
        pairs=pairs,
        train=tuple(train),
        held_out=Images(pixels=everything.pixels[held_out], digits=everything.digits[held_out]),
    )
