"""A model is built beside what answers, and has answered before anybody asks it."""

from dataclasses import replace

import pytest
import torch

from backbone_factories import SIZES_SEEN
from large_updates import Store, whole_of
from penstock.errors import RefusedUpdateError
from penstock.learning.config import BackboneConfig, TrainingConfig
from penstock.learning.learner import Learner
from penstock.replay.config import ReplayConfig
from penstock.serving.builder import ModelBuilder
from served_models import CPU, PIXELS, batch_of, update_with


def test_it_is_warmed_for_every_number_of_rows_in_use() -> None:
    torch.set_num_threads(1)
    model = replace(PIXELS, backbone=BackboneConfig(kind="backbone_factories:noting_sizes"))
    learner = Learner(model, TrainingConfig(device="cpu"), ReplayConfig(capacity=0), topic="t", max_events=64)
    learner.learn(batch_of(model, 20, classes=3, seed=1))
    _, weights = learner.capture(epoch=1, version=1, mlflow_run_id=None, full_reservoir=True)
    builder = ModelBuilder(model, device=CPU, fetcher=Store(), batch_sizes=lambda: (4, 9))
    SIZES_SEEN.clear()
    served = builder.build(update_with(weights, version=1))
    assert served.version == 1
    assert {1, 4, 9} <= set(SIZES_SEEN)


def test_weights_that_are_larger_than_allowed_are_not_fetched() -> None:
    store = Store()
    update = whole_of(store, 1)
    builder = ModelBuilder(PIXELS, device=CPU, fetcher=store, max_weights_bytes=update.size_bytes - 1)
    with pytest.raises(RefusedUpdateError, match=r"serving\.max_weights_bytes") as refused:
        builder.build(update)
    assert refused.value.reason == "size"
    assert store.num_fetched == 0
    roomy = ModelBuilder(PIXELS, device=CPU, fetcher=store, max_weights_bytes=update.size_bytes)
    assert roomy.build(update).version == 1
