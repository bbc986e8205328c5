"""What a replica is made of follows its configuration."""

import asyncio
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from configurations import configuration
from penstock.errors import ConfigurationError
from penstock.processes.replica.parts import assembled
from penstock.serving.refusals import QueueFullError
from penstock.settings import load


def test_the_queue_is_as_long_as_configured(tmp_path: Path) -> None:
    file, outcomes = tmp_path / "penstock.toml", list[Any]()
    text = configuration("m", "127.0.0.1:9", tmp_path / "state")
    file.write_text(text.replace("[serving]", "[serving]\nmax_queued_requests = 2"))
    columns = {"x": np.zeros((1, 8), dtype=np.float32), "amount": np.zeros(1)}

    async def ask() -> None:
        with ExitStack() as resources:
            batcher = assembled(load(file, {}), resources).batcher
            batcher.start()
            resources.callback(batcher.close)
            for _ in range(2):
                batcher.submit(columns, 1, outcomes.append)
            with pytest.raises(QueueFullError, match="2 requests wait for inference already"):
                batcher.submit(columns, 1, outcomes.append)

    asyncio.run(ask())


def test_a_gpu_that_is_missing_is_named_by_the_replicas_own_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    file = tmp_path / "penstock.toml"
    text = configuration("m", "127.0.0.1:9", tmp_path / "state")
    file.write_text(text.replace("[serving]", '[serving]\ndevice = "cuda"'))
    with ExitStack() as resources, pytest.raises(ConfigurationError, match=r"serving\.device is 'cuda'"):
        assembled(load(file, {}), resources)
