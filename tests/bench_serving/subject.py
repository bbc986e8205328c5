"""What is measured: a network of 784-256-10, its weights in versions that differ, and one row to ask about."""

import json
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from confluent_kafka import Producer
from safetensors.numpy import load, save_file

from penstock.features import Feature
from penstock.flow import Delta, ModelUpdate, Weights
from penstock.learning.config import BackboneConfig, ModelConfig, TrainingConfig
from penstock.learning.learner import Learner
from penstock.learning.rates import LearningRates
from penstock.learning.weights_delta import delta_between
from penstock.replay.config import ReplayConfig
from penstock.wire.model_update import encode_record
from served_models import batch_of, update_with

MODEL, WIDTH, CLASSES = "bench", 784, 10
HIDDEN: tuple[int, ...] = (256,)
PATH = f"/v2/models/{MODEL}/infer"
LINEAR, ALL_HEADS = ("linear",), ("linear", "analytic", "instances")
MOST_INLINE_BYTES = 2 << 20
CONFIGURATION = """
[model]
name = "bench"
heads = {heads}
[[model.features]]
name = "pixels"
kind = "vector"
width = 784
[model.backbone]
hidden = {hidden}
[kafka]
"bootstrap.servers" = "{servers}"
[publish]
inline_max_bytes = {most_inline_bytes}
[serving]
allowed_weights_prefixes = ["{weights}"]
[state]
directory = "{state}"
"""


@dataclass(frozen=True, kw_only=True)
class Body:
    """A request; `json_bytes` of it are JSON where binary tensors follow."""

    content: bytes
    json_bytes: int | None = None

    @property
    def headers(self) -> dict[str, str]:
        if self.json_bytes is None:
            return {"Content-Type": "application/json"}
        return {
            "Content-Type": "application/octet-stream",
            "Inference-Header-Content-Length": str(self.json_bytes),
        }


def json_body() -> Body:
    """784 numbers of four decimals."""
    tensor = {"name": "pixels", "shape": [1, WIDTH], "datatype": "FP32", "data": _row()}
    return Body(content=json.dumps({"inputs": [tensor]}).encode())


def binary_body() -> Body:
    """The same row by the binary extension, answered by it, too."""
    raw = np.array(_row(), dtype="<f4").tobytes()
    tensor = {"name": "pixels", "shape": [1, WIDTH], "datatype": "FP32", "parameters": {"binary_data_size": len(raw)}}
    text = json.dumps({"inputs": [tensor], "parameters": {"binary_data_output": True}}).encode()
    return Body(content=text + raw, json_bytes=len(text))


def weights_of(
    heads: Sequence[str], *, hidden: tuple[int, ...] = HIDDEN, versions: int = 2, frozen: bool = False
) -> list[Weights]:
    """Learnt from some random events each; `frozen`: all of them with the same backbone."""
    model = ModelConfig(
        name=MODEL,
        features=(Feature(name="pixels", kind="vector", width=WIDTH),),
        backbone=BackboneConfig(hidden=hidden),
        heads=tuple(heads),  # type: ignore[arg-type]  # two choices of them
    )
    rates = LearningRates(frozen=("last_block", "lower") if frozen else ())
    training = TrainingConfig(device="cpu", learning_rates=rates)
    learner = Learner(model, training, ReplayConfig(capacity=0), topic=MODEL, max_events=256)
    made = []
    for seed in range(1, versions + 1):
        learner.learn(batch_of(model, 200, classes=CLASSES, seed=seed))
        made.append(learner.capture(epoch=1, version=seed, mlflow_run_id=None, full_reservoir=True)[1])
    return made


def write_for_peers(weights: Weights, path: Path) -> None:
    """The tensors of the network alone, as a program without Penstock reads them."""
    tensors = load(weights.content)
    head = tensors["head.rows"]
    save_file(
        {
            "weight": tensors["backbone.layers.0.weight"],
            "bias": tensors["backbone.layers.0.bias"],
            "head_weight": np.ascontiguousarray(head[:, :-1]),
            "head_bias": np.ascontiguousarray(head[:, -1]),
        },
        path,
    )


class Publisher:
    """Announces weights in turn, each time as a new version, inline unless there is a folder to put them in.

    With `deltas` only the first version is whole, and the others are what differs from it.
    """

    def __init__(
        self, bootstrap_servers: str, weights: Sequence[Weights], folder: Path | None = None, *, deltas: bool = False
    ) -> None:
        self._producer = Producer(
            {
                "bootstrap.servers": bootstrap_servers,
                "log_level": 0,
                "linger.ms": 0,
                "message.max.bytes": 8_000_000,
            }
        )
        self._weights = weights
        self._folder = folder
        self._deltas = deltas
        self._whole: tuple[ModelUpdate, Weights] | None = None
        self._records: list[ModelUpdate] = []
        self.version = 0
        self.times: list[float] = []
        """Of each append, monotonic."""

    def publish(self) -> None:
        """Append one more version."""
        self.version += 1
        update = self._update(self._weights[self.version % len(self._weights)])
        key, value = encode_record(update, MODEL)
        self.times.append(time.monotonic())
        self._producer.produce(f"{MODEL}.updates", value, key=key, partition=0)
        assert self._producer.flush(30) == 0

    def publish_for(self, seconds: float, every_seconds: float, stopped: threading.Event) -> None:
        """Append so often for so long, or until told to stop."""
        began = time.monotonic()
        for due in np.arange(began, began + seconds - every_seconds / 2, every_seconds).tolist():
            if stopped.wait(max(0.0, due - time.monotonic())):
                return
            self.publish()
        stopped.wait(max(0.0, began + seconds - time.monotonic()))

    def _update(self, weights: Weights) -> ModelUpdate:
        now_ms = time.time_ns() // 1_000_000
        update = replace(update_with(weights, version=self.version, model=MODEL), trained_until_ms=now_ms)
        if self._folder is None:
            return update
        if self._whole is not None:
            return replace(update, inline=None, delta=_delta(*self._whole, weights))
        path = self._folder / f"{self.version % len(self._weights)}.safetensors"
        if not path.exists():
            path.write_bytes(weights.content)
        update = replace(update, inline=None, uri=path.as_uri())
        self._whole = (update, weights) if self._deltas else None
        return update


def _delta(update: ModelUpdate, base: Weights, weights: Weights) -> Delta:
    content = delta_between(base.content, weights.content, max_bytes=MOST_INLINE_BYTES)
    assert content is not None
    assert update.uri is not None
    return Delta(
        content=content,
        base_version=update.version,
        base_sha256=base.sha256,
        base_size_bytes=base.size_bytes,
        base_uri=update.uri,
    )


def _row() -> list[float]:
    row: list[float] = np.random.default_rng(0).random(WIDTH).round(4).tolist()
    return row
