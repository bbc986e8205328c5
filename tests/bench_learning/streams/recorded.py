"""Data sets that river brings along, in their own order, and one stationary generator that others publish figures on.

Here a seed changes nothing but the learner.
"""

from river import datasets
from river.datasets import synth

from bench_learning.stream import Stream
from bench_learning.streams.generated import taken


def image_segments(seed: int) -> Stream:
    """2,310 rows of 18 numbers, 7 classes."""
    return taken(datasets.ImageSegments())


def bananas(seed: int) -> Stream:
    """5,300 rows of 2 numbers, 2 classes."""
    return taken(datasets.Bananas())


def phishing(seed: int) -> Stream:
    """1,250 rows of 9 numbers, 2 classes."""
    return taken(datasets.Phishing())


def random_rbf(seed: int) -> Stream:
    """RandomRBF(42, 42): 20 centroids of 4 classes in 4 dimensions."""
    generator = synth.RandomRBF(seed_model=42, seed_sample=42, n_classes=4, n_features=4, n_centroids=20)
    return taken(generator, 5_000)
