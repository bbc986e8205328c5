"""answers: one keep-alive connection asks one replica, steady and while a version is swapped in every 100 ms

`python bench_answers.py [--seconds S] [--rounds N] [--width W]` prints the result as JSON.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).parent.parent), str(Path(__file__).parent)]

import numpy as np  # noqa: E402 - the path is set first
from confluent_kafka import Producer  # noqa: E402 - the path is set first

from figures import Figure  # noqa: E402 - the path is set first
from line import line, served_version  # noqa: E402 - the path is set first
from penstock.adapters.kafka.embedded import EmbeddedBroker  # noqa: E402 - the path is set first
from penstock.features import Feature  # noqa: E402 - the path is set first
from penstock.flow import ModelUpdate, Weights  # noqa: E402 - the path is set first
from penstock.learning.config import BackboneConfig, ModelConfig, TrainingConfig  # noqa: E402 - the path is set first
from penstock.learning.learner import Learner  # noqa: E402 - the path is set first
from penstock.replay.config import ReplayConfig  # noqa: E402 - the path is set first
from penstock.wire.model_update import encode_record  # noqa: E402 - the path is set first
from served_models import batch_of, update_with  # noqa: E402 - the path is set first
from waiting import wait_for  # noqa: E402 - the path is set first

SWAP_EVERY_SECONDS = 0.1
MODEL = "bench"
CONFIGURATION = """
[model]
name = "bench"
[[model.features]]
name = "pixels"
kind = "vector"
width = {width}
[model.backbone]
hidden = [128]
[kafka]
"bootstrap.servers" = "{servers}"
[state]
directory = "{state}"
"""


def measure() -> list[Figure]:
    """The figures of the README."""
    result = main([])
    steady, swapping = result["steady"], result["swapping"]
    return [
        Figure(name="steady", value=steady["requests_per_second"], unit="requests/s"),
        Figure(name="steady p50", value=steady["p50_ms"], unit="ms"),
        Figure(name="steady p99", value=steady["p99_ms"], unit="ms"),
        Figure(name="swapping", value=swapping["requests_per_second"], unit="requests/s"),
        Figure(name="swapping p50", value=swapping["p50_ms"], unit="ms"),
        Figure(name="swapping p99", value=swapping["p99_ms"], unit="ms"),
        Figure(name="swaps seen by the caller", value=result["swaps"], unit="versions"),
        Figure(name="errors", value=steady["errors"] + swapping["errors"], unit="", target=0, sense="at most"),
        Figure(name="p99, swapping ÷ steady", value=result["p99_ratio"], unit="", target=1.5, sense="at most"),
    ]


def main(argv: Sequence[str]) -> dict[str, Any]:
    """Both in turn, some rounds each, so that what else the machine does hits both; medians over the rounds.

    The ratio is the median of each round's own.
    """
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--width", type=int, default=64)
    options = parser.parse_args(list(argv))
    with tempfile.TemporaryDirectory() as folder, EmbeddedBroker() as broker:
        broker.create_topic(f"{MODEL}.updates", 1)
        text = CONFIGURATION.format(width=options.width, servers=broker.bootstrap_servers, state=folder)
        with line(Path(folder), broker.bootstrap_servers, MODEL, text) as running:
            publisher = Publisher(broker.bootstrap_servers, options.width)
            publisher.publish()
            _, url = running.start_replica()
            wait_for(lambda: served_version(url, MODEL) == 1, "the replica is ready")
            rounds = [_round(url, options.width, options.seconds, publisher) for _ in range(options.rounds)]
    steady, swapping = _medians([one for one, _ in rounds]), _medians([other for _, other in rounds])
    return {
        "width": options.width,
        "steady": steady,
        "swapping": swapping,
        "swaps": swapping["versions"],
        "p99_ratio": statistics.median(after["p99_ms"] / before["p99_ms"] for before, after in rounds),
        "p99_ratios": [after["p99_ms"] / before["p99_ms"] for before, after in rounds],
    }


class Publisher:
    """Announces real weights of alternating contents, each as a version of its own."""

    def __init__(self, bootstrap_servers: str, width: int) -> None:
        self._producer = Producer({"bootstrap.servers": bootstrap_servers, "log_level": 0, "linger.ms": 0})
        self._weights = _weights(width)
        self._version = 0

    def publish(self) -> None:
        self._version += 1
        weights = self._weights[self._version % len(self._weights)]
        key, value = encode_record(self._update(weights), MODEL)
        self._producer.produce(f"{MODEL}.updates", value, key=key, partition=0)
        assert self._producer.flush(10) == 0

    def publish_until(self, stopped: threading.Event) -> None:
        while not stopped.wait(SWAP_EVERY_SECONDS):
            self.publish()

    def _update(self, weights: Weights) -> ModelUpdate:
        now_ms = time.time_ns() // 1_000_000
        return replace(update_with(weights, version=self._version, model=MODEL), trained_until_ms=now_ms)


def _weights(width: int) -> list[Weights]:
    model = ModelConfig(
        name=MODEL,
        features=(Feature(name="pixels", kind="vector", width=width),),
        backbone=BackboneConfig(hidden=(128,)),
    )
    learner = Learner(model, TrainingConfig(device="cpu"), ReplayConfig(capacity=0), topic="bench", max_events=256)
    made = []
    for seed in (1, 2):
        learner.learn(batch_of(model, 100, classes=10, seed=seed))
        made.append(learner.capture(epoch=1, version=seed, mlflow_run_id=None, full_reservoir=True)[1])
    return made


def _round(url: str, width: int, seconds: float, publisher: Publisher) -> tuple[dict[str, float], dict[str, float]]:
    steady = _ask(url, width, seconds)
    stopped = threading.Event()
    swapping_thread = threading.Thread(target=publisher.publish_until, args=(stopped,))
    swapping_thread.start()
    try:
        swapping = _ask(url, width, seconds)
    finally:
        stopped.set()
        swapping_thread.join()
    return steady, swapping


def _ask(url: str, width: int, seconds: float) -> dict[str, float]:
    """One run of the raw client, in a process of its own."""
    row = np.random.default_rng(0).random(width).round(4).tolist()
    body = {"inputs": [{"name": "pixels", "shape": [1, width], "datatype": "FP32", "data": row}]}
    client = Path(__file__).with_name("raw_client.py")
    run = subprocess.run(
        [sys.executable, str(client), url.rsplit(":", 1)[1], f"/v2/models/{MODEL}/infer", str(seconds)],
        input=json.dumps(body).encode(),
        stdout=subprocess.PIPE,
        check=True,
        timeout=seconds + 60,
    )
    found: dict[str, float] = json.loads(run.stdout)
    return found


def _medians(runs: Sequence[dict[str, float]]) -> dict[str, float]:
    added = ("requests", "errors", "versions")
    return {
        key: sum(run[key] for run in runs) if key in added else statistics.median(run[key] for run in runs)
        for key in runs[0]
    }


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1:]), indent=2))
