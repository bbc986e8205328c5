"""The weights file: one card, the same bytes for the same model, and nothing in it that runs."""

import hashlib
import json
import os
import subprocess
import sys

import numpy as np
import pytest
import safetensors.numpy

from labelled_rows import PLANE, plane_batches
from mixed_streams import BACKBONES, mixed_learner, mixed_model, mixed_stream
from penstock.errors import RefusedUpdateError
from penstock.flow import Weights
from penstock.learning.config import BackboneConfig, TrainingConfig
from penstock.learning.learner import Learner
from penstock.learning.weights import model_json, read_card, read_tensors
from penstock.replay.config import ReplayConfig


def learner() -> Learner:
    made = Learner(PLANE, TrainingConfig(device="cpu"), ReplayConfig(), topic="plane.labels", max_events=256)
    for batch in plane_batches(["b", "a"], 3, 32):
        made.learn(batch)
    return made


def weights_of(made: Learner, *, epoch: int = 1, version: int = 1) -> Weights:
    return made.capture(epoch=epoch, version=version, mlflow_run_id=None, full_reservoir=False)[1]


def test_the_same_state_gives_the_same_bytes_whatever_version_and_epoch() -> None:
    made = learner()
    first, second = weights_of(made), weights_of(made, epoch=7, version=9)
    assert first.content == second.content == weights_of(learner()).content
    assert first.sha256 == second.sha256 == hashlib.sha256(first.content).hexdigest()


@pytest.mark.parametrize("backbone", BACKBONES)
def test_bytes_that_are_asked_for_later_are_those_of_the_capture(backbone: BackboneConfig) -> None:
    """Putting them together is the writer's work, while the learner goes on."""
    model = mixed_model(backbone)
    one, other = mixed_learner(model), mixed_learner(model)
    batches = mixed_stream(3, num_batches=12)
    for batch in batches[:6]:
        one.learn(batch)
        other.learn(batch)
    at_once, later = weights_of(one).content, weights_of(other)
    for batch in batches[6:]:
        other.learn(batch)
    assert later.content == at_once
    assert weights_of(other).content != at_once


def test_the_card_tells_what_is_needed_to_serve() -> None:
    weights = weights_of(learner())
    card = read_card(weights.content)
    assert card.model == "plane"
    assert card.schema_digest == PLANE.schema.digest
    assert set(card.ledger.names) == {"a", "b"}
    assert card.ledger.digest == weights.class_ledger_digest
    assert card.backbone == {"kind": "mlp", "hidden": "auto"}
    assert set(card.encoder.scales) == {"point"}


def test_only_rows_of_classes_are_in_the_file() -> None:
    tensors = read_tensors(weights_of(learner()).content)
    assert tensors["head.rows"].shape == (2, 65)
    assert all(np.isfinite(tensor).all() for tensor in tensors.values())


def test_model_json_is_the_card_with_the_digests_of_both() -> None:
    weights = weights_of(learner())
    beside = json.loads(model_json(weights))
    digests = beside.pop("sha256")
    assert digests["weights"] == weights.sha256
    assert beside.pop("size_bytes") == weights.size_bytes
    assert beside == read_card(weights.content).to_json()
    assert (
        digests["card"]
        == hashlib.sha256(json.dumps(beside, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
    )


@pytest.mark.parametrize(
    "content",
    [b"", b"\x80\x04pickle", b"\xff" * 64, safetensors.numpy.save({}), safetensors.numpy.save({}, {"penstock": "[]"})],
)
def test_other_bytes_are_refused(content: bytes) -> None:
    with pytest.raises(RefusedUpdateError) as refused:
        read_card(content)
    assert refused.value.reason == "format"


def test_a_file_cut_short_is_refused() -> None:
    content = weights_of(learner()).content
    with pytest.raises(RefusedUpdateError) as refused:
        read_tensors(content[:-5])
    assert refused.value.reason == "format"


def test_another_process_with_another_hash_seed_makes_the_same_bytes() -> None:
    code = (
        "from penstock.learning.device import use_threads; use_threads(1)\n"
        "from mixed_streams import *\n"
        "learner = mixed_learner(mixed_model(BACKBONES[1]))\n"
        "[learner.learn(batch) for batch in mixed_stream(0)]\n"
        "print(learner.capture(epoch=1, version=1, mlflow_run_id=None, full_reservoir=False)[1].sha256)\n"
    )
    learner = mixed_learner(mixed_model(BACKBONES[1]))
    for batch in mixed_stream(0):
        learner.learn(batch)
    found = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"PYTHONHASHSEED": "17", "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert found.stdout.strip() == weights_of(learner).sha256
