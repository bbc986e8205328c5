"""The handwritten digits of scikit-learn (1,797 images of 64 numbers), two classes at a time, memory of 200 rows."""

import numpy as np
from sklearn.datasets import load_digits

from bench_learning.stream import Stream
from bench_learning.streams.tasks import Arrangement, blurred_tasks, class_incremental, in_tasks, long_tail

IN_LABEL_ORDER = np.arange(10)
TAIL = 30


def split_digits(seed: int) -> Stream:
    """Five tasks: 0 and 1, then 2 and 3, and so on."""
    return _digits(in_tasks(IN_LABEL_ORDER), seed)


def blurry_digits(seed: int) -> Stream:
    """Five tasks of two classes in a random order of classes, with blurry borders."""
    return _digits(blurred_tasks(np.random.default_rng(1000 + seed).permutation(10)), seed)


def long_tail_falling(seed: int) -> Stream:
    """1:30, the sizes falling in the order of tasks."""
    return _digits(long_tail(TAIL, IN_LABEL_ORDER, in_tasks(IN_LABEL_ORDER)), seed)


def long_tail_random(seed: int) -> Stream:
    """1:30, the sizes dealt to the classes at random."""
    sizes = np.random.default_rng(2000 + seed).permutation(10)
    return _digits(long_tail(TAIL, sizes, in_tasks(IN_LABEL_ORDER)), seed)


def digits_at_once(seed: int) -> Stream:
    """All ten from the start, shuffled."""
    return _digits(in_tasks(IN_LABEL_ORDER, per_task=10), seed)


def _digits(arrangement: Arrangement, seed: int) -> Stream:
    pixels, digits = load_digits(return_X_y=True)
    return class_incremental(pixels, digits, arrangement, seed=seed)
