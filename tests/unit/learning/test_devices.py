"""What is promised of learning holds on every kind of device that this machine has, and between them."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from mixed_streams import BACKBONES, DeviceName, mixed_learner, mixed_model, mixed_stream
from penstock.learning.config import BackboneConfig, HeadName
from penstock.learning.device import begin_computing
from penstock.learning.learner import Learner
from penstock.learning.predictor import Predictor
from penstock.learning.rows import Columns, columns_of
from same_learners import assert_same, capture, through_json

DEVICES: tuple[DeviceName, ...] = ("cpu", "cuda") if torch.cuda.is_available() else ("cpu",)
SMALL = 1e-5
"""What float32 may differ by between devices that sum in another order."""

HEADS: tuple[tuple[HeadName, ...], ...] = (("linear",), ("linear", "analytic", "instances"))


def taught(device: DeviceName, backbone: BackboneConfig, heads: tuple[HeadName, ...], num_batches: int = 10) -> Learner:
    learner = mixed_learner(replace(mixed_model(backbone), heads=heads), device=device)
    for batch in mixed_stream(0)[:num_batches]:
        learner.learn(batch)
    return learner


def some_columns() -> Columns:
    events = max(mixed_stream(1), key=lambda batch: batch.events.num_rows).events
    return columns_of(events, mixed_model(BACKBONES[0]).schema)


@pytest.mark.parametrize("heads", HEADS, ids=["alone", "mixed"])
@pytest.mark.parametrize("backbone", BACKBONES, ids=["mlp", "text", "own"])
@pytest.mark.parametrize("device", DEVICES)
def test_stopped_and_restored_it_goes_on_to_the_bit(
    device: DeviceName, backbone: BackboneConfig, heads: tuple[HeadName, ...]
) -> None:
    whole, first = taught(device, backbone, heads), taught(device, backbone, heads, num_batches=5)
    second = mixed_learner(replace(mixed_model(backbone), heads=heads), seed=99, device=device)
    second.restore(through_json(capture(first)))
    for batch in mixed_stream(0)[5:]:
        second.learn(batch)
    assert_same(whole, second)


@pytest.mark.parametrize("heads", HEADS, ids=["alone", "mixed"])
@pytest.mark.parametrize("backbone", BACKBONES, ids=["mlp", "text", "own"])
@pytest.mark.parametrize("asked_on", DEVICES)
@pytest.mark.parametrize("learnt_on", DEVICES)
def test_weights_answer_alike_wherever_they_were_learnt_and_are_asked(
    learnt_on: DeviceName, asked_on: DeviceName, backbone: BackboneConfig, heads: tuple[HeadName, ...]
) -> None:
    learner = taught(learnt_on, backbone, heads)
    model = replace(mixed_model(backbone), heads=heads)
    _, weights = learner.capture(epoch=1, version=1, mlflow_run_id=None, full_reservoir=True)
    begin_computing(torch.device(asked_on))
    predictor = Predictor.from_weights(weights.content, model=model, device=torch.device(asked_on))
    columns = some_columns()
    found = predictor.probabilities(predictor.encode(columns))
    assert found.sum(axis=1) == pytest.approx(1, abs=SMALL)
    np.testing.assert_allclose(found, learner.probabilities(columns), atol=SMALL)


@pytest.mark.parametrize("goes_on_on", DEVICES)
@pytest.mark.parametrize("begun_on", DEVICES)
def test_a_checkpoint_goes_on_on_another_device(begun_on: DeviceName, goes_on_on: DeviceName) -> None:
    model = mixed_model(BACKBONES[2])
    first = taught(begun_on, BACKBONES[2], model.heads)
    second = mixed_learner(model, seed=99, device=goes_on_on)
    second.restore(through_json(capture(first)))
    columns = some_columns()
    np.testing.assert_allclose(first.probabilities(columns), second.probabilities(columns), atol=SMALL)
    for batch in mixed_stream(2):
        second.learn(batch)
    assert np.isfinite(second.probabilities(columns)).all()
