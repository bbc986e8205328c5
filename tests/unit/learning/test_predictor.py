"""A predictor answers as the learner would, and only weights that are whole and ours make one."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
import torch

from labelled_rows import PLANE, plane_batches, points_of_classes
from mixed_streams import BACKBONES, FEATURES, mixed_learner, mixed_model, mixed_stream
from penstock.errors import RefusedUpdateError
from penstock.features import Feature
from penstock.flow import Array, Json
from penstock.learning.config import BackboneConfig, ModelConfig, TrainingConfig
from penstock.learning.learner import Learner
from penstock.learning.predictor import Predictor
from penstock.learning.rows import columns_of
from penstock.learning.weights import ModelCard, encode_weights, read_card, read_tensors
from penstock.replay.config import ReplayConfig

CPU = torch.device("cpu")


def weights_of(learner: Learner) -> bytes:
    return learner.capture(epoch=1, version=1, mlflow_run_id=None, full_reservoir=False)[1].content


def trained() -> bytes:
    learner = Learner(PLANE, TrainingConfig(device="cpu"), ReplayConfig(), topic="plane.labels", max_events=256)
    for batch in plane_batches(["a", "k", "u"], 5, 32):
        learner.learn(batch)
    return weights_of(learner)


@pytest.mark.parametrize("backbone", BACKBONES)
def test_the_predictor_answers_as_the_learner_does(backbone: BackboneConfig) -> None:
    learner, model = mixed_learner(mixed_model(backbone)), mixed_model(backbone)
    for batch in mixed_stream(0):
        learner.learn(batch)
    predictor = Predictor.from_weights(weights_of(learner), model=model, device=CPU)
    columns = columns_of(mixed_stream(1)[3].events, model.schema)
    rows = predictor.encode(columns)
    parts = learner._parts
    theirs = parts.encoder.encode(columns)
    found = predictor.probabilities(rows)
    assert predictor.class_names == learner.class_names
    assert np.array_equal(rows.dense, theirs.dense)
    assert found == pytest.approx(learner.probabilities(columns), abs=1e-6)


@pytest.mark.parametrize("rows", [0, 1, 2, 300])
def test_probabilities_are_one_row_per_row_and_sum_to_one(rows: int) -> None:
    predictor = Predictor.from_weights(trained(), model=PLANE, device=CPU)
    points, _ = points_of_classes(["a", "k"], rows, seed=0)
    found = predictor.probabilities(predictor.encode({"point": points.astype(np.float32)}))
    assert found.shape == (rows, 3)
    assert found.dtype == np.float32
    assert found.sum(axis=1) == pytest.approx(np.ones(rows), abs=1e-5)


def test_rows_that_may_not_be_written_to_are_read_all_the_same() -> None:
    predictor = Predictor.from_weights(trained(), model=PLANE, device=CPU)
    received = np.frombuffer(np.array([1.0, 0.5], dtype=np.float32).tobytes(), dtype=np.float32).reshape(1, 2)
    assert predictor.probabilities(predictor.encode({"point": received})).shape == (1, 3)


def test_a_model_without_classes_answers_with_none() -> None:
    learner = Learner(PLANE, TrainingConfig(device="cpu"), ReplayConfig(), topic="plane.labels", max_events=256)
    predictor = Predictor.from_weights(weights_of(learner), model=PLANE, device=CPU)
    found = predictor.probabilities(predictor.encode({"point": np.zeros((2, 2), dtype=np.float32)}))
    assert (predictor.class_names, found.shape) == ((), (2, 0))


def test_a_request_is_answered_alike_alone_and_among_others() -> None:
    predictor = Predictor.from_weights(trained(), model=PLANE, device=CPU)
    points = points_of_classes(["a", "k", "u"], 64, seed=0)[0].astype(np.float32)
    together = predictor.probabilities(predictor.encode({"point": points}))
    alone = [predictor.probabilities(predictor.encode({"point": point[None]}))[0] for point in points]
    assert together == pytest.approx(np.array(alone), abs=1e-6)


def test_threads_encode_while_another_predicts() -> None:
    predictor = Predictor.from_weights(trained(), model=PLANE, device=CPU)
    points = points_of_classes(["a", "k", "u"], 64, seed=0)[0].astype(np.float32)
    expected = predictor.probabilities(predictor.encode({"point": points}))
    with ThreadPoolExecutor(4) as pool:
        for rows in pool.map(lambda _: predictor.encode({"point": points}), range(50)):
            assert np.array_equal(predictor.probabilities(rows), expected)


def changed(
    card: Callable[[ModelCard], ModelCard] = lambda card: card,
    tensors: Callable[[dict[str, Array]], dict[str, Array]] = lambda tensors: tensors,
) -> bytes:
    content = trained()
    return encode_weights(card(read_card(content)), tensors(dict(read_tensors(content)))).content


def with_value(name: str, value: float) -> Callable[[dict[str, Array]], dict[str, Array]]:
    def change(tensors: dict[str, Array]) -> dict[str, Array]:
        spoilt = tensors[name].copy()
        spoilt[0] = value
        return tensors | {name: spoilt}

    return change


OTHER_NAME = replace(PLANE, name="other")
OTHER_FEATURES = replace(PLANE, features=(Feature(name="point", kind="vector", width=3),))
OTHER_BACKBONE = replace(PLANE, backbone=BackboneConfig(hidden=(64,)))
FACTORY: Json = {"kind": "os:system", "options": {"command": "true"}}


@pytest.mark.parametrize(
    ("content", "model", "reason"),
    [
        (changed(), OTHER_NAME, "model"),
        (changed(), OTHER_FEATURES, "schema"),
        (changed(), OTHER_BACKBONE, "backbone"),
        (changed(card=lambda card: replace(card, backbone=FACTORY)), PLANE, "backbone"),
        (changed(tensors=with_value("head.rows", np.nan)), PLANE, "not_finite"),
        (changed(tensors=with_value("backbone.layers.0.bias", np.inf)), PLANE, "not_finite"),
        (changed(tensors=lambda found: found | {"head.rows": found["head.rows"][:2]}), PLANE, "shape"),
        (changed(tensors=lambda found: found | {"head.rows": found["head.rows"].astype(np.float16)}), PLANE, "shape"),
        (changed(tensors=lambda found: found | {"more": np.zeros(3, dtype=np.float32)}), PLANE, "shape"),
        (changed(tensors=lambda found: {"head.rows": found["head.rows"]}), PLANE, "shape"),
        (changed()[:-7], PLANE, "format"),
        (changed().replace(b'\\"index\\":1', b'\\"index\\":7'), PLANE, "ledger"),
        (changed().replace(b'\\"name\\":\\"k\\"', b'\\"name\\":\\"x\\"'), PLANE, "ledger"),
        (changed().replace(b'\\"format\\":2', b'\\"format\\":3'), PLANE, "format"),
    ],
)
def test_weights_that_are_not_whole_or_not_ours_are_refused(content: bytes, model: ModelConfig, reason: str) -> None:
    with pytest.raises(RefusedUpdateError) as refused:
        Predictor.from_weights(content, model=model, device=CPU)
    assert refused.value.reason == reason
    assert str(refused.value).endswith(".")


def test_a_defaults_change_that_means_the_same_is_accepted() -> None:
    same = replace(PLANE, backbone=BackboneConfig(embedding_buckets=7, max_tokens=3))
    assert Predictor.from_weights(trained(), model=same, device=CPU).class_names


def test_the_features_of_a_model_are_part_of_its_card() -> None:
    learner = mixed_learner(mixed_model(BACKBONES[0]))
    card = read_card(weights_of(learner))
    assert [feature["name"] for feature in card.features] == [feature.name for feature in FEATURES]  # type: ignore[union-attr,call-overload,index]
