"""Each new class of a micro-batch begins at the mean of its own rows, however many classes it brings."""

import tracemalloc

import numpy as np
import pytest
import torch

from penstock.learning.class_means import CLASSES_AT_ONCE, class_means


@pytest.mark.parametrize("num_classes", [1, 7, CLASSES_AT_ONCE, CLASSES_AT_ONCE + 1, 2 * CLASSES_AT_ONCE + 40])
def test_each_class_has_the_mean_of_its_rows(num_classes: int) -> None:
    generator = np.random.default_rng(0)
    classes = generator.permutation(np.concatenate((np.arange(num_classes), generator.integers(num_classes, size=500))))
    features = generator.normal(size=(len(classes), 3)).astype(np.float32)
    means = class_means(torch.from_numpy(features), classes).numpy()
    expected = np.stack([features[classes == each].mean(axis=0) for each in range(num_classes)])
    np.testing.assert_allclose(means, expected, atol=1e-6)


def test_five_thousand_classes_at_once_need_no_mark_for_each_pair() -> None:
    """Whole, five thousand by five thousand marks are 100 MB."""
    tracemalloc.start()
    try:
        class_means(torch.ones(5000, 3), np.arange(5000))
        assert tracemalloc.get_traced_memory()[1] < 20e6
    finally:
        tracemalloc.stop()
