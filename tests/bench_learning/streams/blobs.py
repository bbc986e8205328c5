"""Class-incremental streams of made-up tables, easy and hard, and small tables of scikit-learn."""

from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn.datasets import load_breast_cancer, load_wine, make_classification

from bench_learning.stream import LARGE_MEMORY, Stream
from bench_learning.streams.tasks import class_incremental, in_tasks


def split_blobs(seed: int) -> Stream:
    """Ten classes of two clusters in 20 dimensions, two at a time."""
    rows, classes = make_classification(
        n_samples=3000,
        n_features=20,
        n_informative=12,
        n_classes=10,
        n_clusters_per_class=2,
        class_sep=2.0,
        flip_y=0.0,
        random_state=seed,
    )
    return class_incremental(rows, classes, in_tasks(np.arange(10)), seed=seed, kind="number")


def hard_tasks(seed: int) -> Stream:
    """Twenty overlapping classes of two clusters, 15 % of labels noise: half of them right is as good as it gets.

    The meaning of no label changes, so no drift alarm is right.
    """
    rows, classes = make_classification(
        n_samples=6000,
        n_features=16,
        n_informative=10,
        n_classes=20,
        n_clusters_per_class=2,
        class_sep=1.4,
        flip_y=0.15,
        random_state=seed,
    )
    return class_incremental(rows, classes, in_tasks(np.arange(20), 4), seed=seed, kind="number", memory=1000)


def wine(seed: int) -> Stream:
    """178 rows of 13 numbers, 3 classes, shuffled."""
    return _shuffled(load_wine, seed)


def breast_cancer(seed: int) -> Stream:
    """569 rows of 30 numbers, 2 classes, shuffled."""
    return _shuffled(load_breast_cancer, seed)


def _shuffled(table: Callable[..., Any], seed: int) -> Stream:
    rows, classes = table(return_X_y=True)
    everything_at_once = in_tasks(np.arange(classes.max() + 1), per_task=100)
    return class_incremental(rows, classes, everything_at_once, seed=seed, kind="number", memory=LARGE_MEMORY)
