"""Streams whose labels or inputs change while they run, 10,000 rows each, from river's generators."""

from river.datasets import synth

from bench_learning.stream import Stream
from bench_learning.streams.generated import one_after_another, taken

NUM_ROWS = 10_000
PART_ROWS = NUM_ROWS // 4


def sine_flips(seed: int) -> Stream:
    """Sine, functions 0, 1, 0, 1: at every quarter each label becomes the other one."""
    return one_after_another(
        [
            taken(synth.Sine(classification_function=function, seed=10 * seed + part), PART_ROWS)
            for part, function in enumerate((0, 1, 0, 1))
        ]
    )


def moving_centroids(seed: int) -> Stream:
    """RandomRBFDrift: 15 centroids of 4 classes in 10 dimensions, every one of them moving by .001 a row."""
    generator = synth.RandomRBFDrift(
        seed_model=seed,
        seed_sample=seed,
        n_classes=4,
        n_features=10,
        n_centroids=15,
        n_drift_centroids=15,
        change_speed=0.001,
    )
    return taken(generator, NUM_ROWS)


def turning_hyperplane(seed: int) -> Stream:
    """Hyperplane of 10 features, the weight of each changing by .01 a row; 5 % of labels are noise."""
    return taken(synth.Hyperplane(seed=seed, n_features=10, n_drift_features=10, mag_change=0.01), NUM_ROWS)


def sea_abrupt(seed: int) -> Stream:
    """SEA with 10 % of labels noise, the threshold 7, then 8, 9.5 and 9."""
    return one_after_another(
        [
            taken(synth.SEA(variant=variant, seed=10 * seed + part, noise=0.1), PART_ROWS)
            for part, variant in enumerate((2, 0, 3, 1))
        ]
    )


def led_drift(seed: int) -> Stream:
    """LEDDrift: seven segments, each inverted in one row of ten, all swapped with some of 17 irrelevant columns."""
    generator = synth.LEDDrift(seed=seed, noise_percentage=0.1, irrelevant_features=True, n_drift_features=7)
    return taken(generator, NUM_ROWS)
