"""Numbers at the ends of what floats hold: no event of a producer may stop the trainer."""

from dataclasses import replace

import numpy as np
import pytest

from labelled_rows import event_batch
from penstock.features import Feature
from penstock.learning.config import HEADS, HeadName, ModelConfig, TrainingConfig
from penstock.learning.device import CPU
from penstock.learning.learner import Learner
from penstock.learning.predictor import Predictor
from penstock.replay.config import ReplayConfig
from same_learners import capture

NUMBERS = ModelConfig(name="numbers", features=(Feature(name="a", kind="number"), Feature(name="b", kind="number")))


@pytest.mark.parametrize("heads", [HEADS, ("linear",)], ids=["mixed", "linear"])
@pytest.mark.parametrize(
    "absurd", [[-1e300, -1e300, 1e300], [1e300, 1e300, -1e300], [1e-320, -1e-320, 0.0]], ids=["down", "up", "tiny"]
)
def test_absurd_numbers_are_learnt_and_others_are_answered_after_them(
    absurd: list[float], heads: tuple[HeadName, ...]
) -> None:
    model = replace(NUMBERS, heads=heads)
    learner = Learner(
        model, TrainingConfig(device="cpu"), ReplayConfig(capacity=100), topic="numbers.labels", max_events=64
    )
    usual, labels, offset = np.linspace(-1, 1, 12), ["low"] * 6 + ["high"] * 6, 0
    for column in ([0.0], np.tile(absurd, 4), usual, usual):
        names = labels[: len(column)]
        features = {"a": np.asarray(column), "b": np.resize(usual, len(column))}
        learner.learn(event_batch(model.schema, features, names, first_offset=offset))
        offset += len(column)
    _, weights = learner.capture(epoch=1, version=1, mlflow_run_id=None, full_reservoir=True)
    served = Predictor.from_weights(weights.content, model=model, device=CPU)
    for of_a in (usual, np.resize(absurd, 12)):
        columns = {"a": of_a, "b": usual}
        found = served.probabilities(served.encode(columns))
        assert found.sum(axis=1) == pytest.approx(1, abs=1e-5)
        assert found == pytest.approx(learner.probabilities(columns), abs=1e-5)
    assert capture(learner).events_learnt == offset
