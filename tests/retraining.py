"""A line that is retrained in tests, and what is asked of it."""

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from configurations import configuration, new_model
from line import Line, line
from nursery import Nursery
from penstock.adapters.kafka.local_kafka import LocalKafka
from penstock.flow import ModelUpdate

HARDLY_LEARNING = "learning_rate = 1e-12\ninner_steps = 1"


def crossed(count: int, *, seed: int = 0) -> Iterator[bytes]:
    """Events whose class is whether the first two numbers have the same sign: no class is in one place."""
    generator = np.random.default_rng(seed)
    for index, vector in enumerate(generator.normal(size=(count, 8)).round(4).tolist()):
        label = "same" if (vector[0] > 0) == (vector[1] > 0) else "other"
        yield msgspec.json.encode(
            {"event_id": f"{seed}-{index}", "features": {"x": vector, "amount": 0.0}, "label": label}
        )


@contextlib.contextmanager
def made(kafka: LocalKafka, tmp_path: Path, nursery: Nursery, tracking_uri: str | None = None) -> Iterator[Line]:
    model = new_model()
    text = configuration(model, kafka.bootstrap_servers, tmp_path / "state", tracking_uri=tracking_uri)
    with line(tmp_path, kafka.bootstrap_servers, model, text, nursery) as started:
        assert started.run("topics", "create", "--partitions", "2").returncode == 0
        yield started


def configure_badly(running: Line) -> str:
    """From now on a trainer learns next to nothing; returns the good configuration."""
    good = running.config.read_text()
    bad = good.replace("learning_rate = 0.003\ninner_steps = 2", HARDLY_LEARNING)
    bad = bad.replace(f'name = "{running.model}"', f'name = "{running.model}"\nheads = ["linear"]')
    assert bad != good
    running.config.write_text(bad)
    return good


def retrain(running: Line, *arguments: str) -> dict[str, Any]:
    done = running.run("retrain", "--json", *arguments, timeout_seconds=300)
    assert done.returncode == 0, done.stderr.decode()
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def newest(running: Line) -> ModelUpdate:
    update = running.newest_update()
    assert update is not None
    return update
