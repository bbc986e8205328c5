"""The handwritten digits of scikit-learn as a stream: two new digits at a time, each image once."""

from dataclasses import replace

import numpy as np
import numpy.typing as npt
import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from labelled_rows import event_batch
from penstock.features import Feature
from penstock.learning.config import HeadName, ModelConfig, TrainingConfig
from penstock.learning.learner import Learner
from penstock.learning.predictor import Predictor
from penstock.replay.config import ReplayConfig

MODEL = ModelConfig(name="digits", features=(Feature(name="pixels", kind="vector", width=64),))
SETTINGS = {"learning_rate": 0.003, "inner_steps": 15, "rows_per_step": 128}
BATCH_ROWS = 32


def final_accuracy(
    *, seed: int, settings: dict[str, float], capacity: int, heads: tuple[HeadName, ...] = ("linear",)
) -> float:
    """Share of a held-out fifth of all ten digits that is right after the last batch."""
    pixels, digits = load_digits(return_X_y=True)
    stream, held, labels, held_labels = train_test_split(
        pixels, digits, test_size=0.2, stratify=digits, random_state=seed
    )
    order = _two_at_a_time(labels, seed)
    model = replace(MODEL, heads=heads)
    learner = Learner(
        model,
        TrainingConfig(
            device="cpu",
            learning_rate=settings["learning_rate"],
            inner_steps=int(settings["inner_steps"]),
            seed=seed,
        ),
        ReplayConfig(capacity=capacity, rows_per_step=int(settings["rows_per_step"])),
        topic="digits.labels",
        max_events=BATCH_ROWS,
    )
    for start in range(0, len(order), BATCH_ROWS):
        rows = order[start : start + BATCH_ROWS]
        names = [str(digit) for digit in labels[rows]]
        learner.learn(event_batch(MODEL.schema, {"pixels": stream[rows]}, names, first_offset=start))
    _, weights = learner.capture(epoch=1, version=1, mlflow_run_id=None, full_reservoir=False)
    predictor = Predictor.from_weights(weights.content, model=model, device=torch.device("cpu"))
    found = predictor.probabilities(predictor.encode({"pixels": held.astype(np.float32)})).argmax(axis=1)
    return float(
        np.mean([predictor.class_names[index] == str(digit) for index, digit in zip(found, held_labels, strict=True)])
    )


def _two_at_a_time(labels: npt.NDArray[np.int64], seed: int) -> npt.NDArray[np.int64]:
    """Row numbers: shuffled within 0 and 1, then within 2 and 3, and so on."""
    generator = np.random.default_rng(seed)
    pairs = [np.flatnonzero(labels // 2 == pair) for pair in range(5)]
    return np.concatenate([generator.permutation(pair) for pair in pairs])
