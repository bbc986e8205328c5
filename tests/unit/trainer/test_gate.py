"""The gate keeps a version that got worse from replicas, says so, and lets a better one pass again."""

import numpy as np
import pytest
import torch
from structlog.testing import capture_logs

from drifting_model import LINEAR, NAMES
from labelled_rows import PLANE, event_batch, points_of_classes
from penstock.adapters.prometheus.telemetry import PrometheusTelemetry
from penstock.flow import Weights
from penstock.learning.champion import Bounds
from penstock.learning.config import ModelConfig, TrainingConfig
from penstock.learning.learner import Learner
from penstock.learning.predictor import Predictor
from penstock.learning.set_aside import HoldOut
from penstock.replay.config import ReplayConfig
from penstock.trainer.gate import Gate
from penstock.trainer.refusal import Refusal

BOUNDS = Bounds(margin=0.05, class_margin=0.2, confidence=0.95)


class Guarded:
    """A learner, and a gate before what it captures."""

    def __init__(self, model: ModelConfig, champion: bytes | None = None) -> None:
        self.learner = Learner(
            model,
            TrainingConfig(device="cpu", learning_rate=0.01),
            ReplayConfig(capacity=400),
            topic="plane.labels",
            max_events=256,
            hold_out=HoldOut(share=0.2, rows_per_class=50),
        )
        self.telemetry = PrometheusTelemetry(side="trainer")

        def build(content: bytes) -> Predictor:
            return Predictor.from_weights(content, model=model, device=torch.device("cpu"))

        self.gate = Gate(BOUNDS, build, champion, self.telemetry)
        self.version = self.offset = 0

    def learn(self, batches: int, *, weight: float = 1.0, wrong: bool = False) -> None:
        for _ in range(batches):
            points, labels = points_of_classes(NAMES, 32, seed=self.offset)
            told = [NAMES[0]] * 32 if wrong else labels
            batch = event_batch(PLANE.schema, {"point": points}, told, first_offset=self.offset, weights=[weight] * 32)
            self.learner.learn(batch)
            self.offset += 32

    def publish(self) -> tuple[Refusal | None, Weights]:
        self.version += 1
        _, weights = self.learner.capture(epoch=1, version=self.version, mlflow_run_id=None, full_reservoir=True)
        rows = self.learner.held_out_rows()
        assert rows is not None
        return self.gate.judge(self.version, weights, rows, self.learner.class_names, 5), weights

    def verdicts(self, result: str) -> float:
        value = self.telemetry.registry.get_sample_value("penstock_gate_verdicts_total", {"result": result})
        return value or 0.0


@pytest.mark.parametrize("model", [LINEAR, PLANE], ids=["linear", "mixture"])
def test_a_version_that_knows_less_than_the_one_before_is_refused(model: ModelConfig) -> None:
    guarded, other = Guarded(model), Guarded(model)
    other.learn(1)
    other.learn(30, weight=30.0, wrong=True)
    poor = other.publish()[1]
    guarded.learn(60)
    assert guarded.publish()[0] is None
    rows = guarded.learner.held_out_rows()
    assert rows is not None
    refusal = guarded.gate.judge(9, poor, rows, guarded.learner.class_names, 5)
    assert refusal is not None
    assert refusal.verdict.difference < -0.05


def test_a_version_that_has_learnt_nonsense_is_not_let_pass() -> None:
    guarded = Guarded(LINEAR)
    guarded.learn(60)
    assert guarded.publish()[0] is None, "there is nothing to compare the first with"
    guarded.learn(5)
    assert guarded.publish()[0] is None
    served = guarded.publish()[1]
    # Their weight keeps wrong labels out of what is held out.
    with capture_logs() as logs:
        for _ in range(200):
            guarded.learn(5, weight=30.0, wrong=True)
            refusal, _ = guarded.publish()
            if refusal is not None:
                break
    assert refusal is not None
    assert refusal.version == guarded.version
    assert f"Version {refusal.version} is not announced: of " in refusal.sentence
    assert refusal.verdict.worse > refusal.verdict.better
    assert guarded.verdicts("refused") == 1
    (said,) = [line for line in logs if line["event"].startswith("gate:")]
    assert said["reason"] == refusal.sentence

    with capture_logs() as logs:
        assert guarded.publish()[0] is not None
    assert logs == [], "it is said where it begins"

    begun = Guarded(LINEAR, champion=served.content)
    begun.learner = guarded.learner
    assert begun.publish()[0] is not None, "after a start the version announced last is the one to beat"

    with capture_logs() as logs:
        for _ in range(200):
            guarded.learn(5)
            if guarded.publish()[0] is None:
                break
    assert [line["event"] for line in logs] == ["gate: candidates pass again"]


def test_a_champion_that_cannot_be_read_keeps_nothing_back() -> None:
    guarded = Guarded(LINEAR, champion=b"nothing")
    guarded.learn(60)
    assert guarded.publish()[0] is None
    assert np.isclose(guarded.verdicts("passed"), 1)
