"""A process that swaps in large weights and says how much memory it needed, as one line of JSON.

`weights_bytes` of one version; `before` each swap what the process held, and at the most `during` it, in bytes: first
for whole weights by URI, then for deltas.
"""

import gc
import json
import re
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from counted_telemetry import CountedTelemetry
from penstock.adapters.mlflow.artifacts import ArtifactStore
from penstock.adapters.mlflow.config import MlflowConfig
from penstock.adapters.mlflow.fetcher import ArtifactFetcher
from penstock.clock import SystemClock
from penstock.features import Feature
from penstock.flow import Delta, ModelUpdate, Weights
from penstock.learning.backbones import backbone_json
from penstock.learning.config import BackboneConfig, ModelConfig
from penstock.learning.encoder import Encoder, EncoderConstants
from penstock.learning.ledger import ClassEntry, ClassLedger
from penstock.learning.network import HEAD, build_network
from penstock.learning.weights import card_of, encode_weights
from penstock.learning.weights_delta import delta_between
from penstock.serving.builder import ModelBuilder
from penstock.serving.slot import Slot
from penstock.serving.updater import Updater
from served_models import QueuedFeed, update_with

CPU = torch.device("cpu")
MODEL = ModelConfig(
    name="large",
    features=(Feature(name="pixels", kind="vector", width=64),),
    backbone=BackboneConfig(hidden=(4096, 4096)),
    heads=("linear",),
)
CONSTANTS = EncoderConstants(origins={"pixels": 0.0}, scales={"pixels": 1.0})
WHOLE, DELTAS = 4, 3


def weights_of(seed: int, head_seed: int) -> Weights:
    """68 MB, of which a head of five classes is 82 KB."""
    network = build_network(Encoder(MODEL.schema, MODEL.backbone, CONSTANTS), MODEL.backbone, seed=seed, device=CPU)
    arrays = {name: tensor.detach().numpy() for name, tensor in network.tensors().items()}
    arrays[HEAD] = np.random.default_rng(head_seed).normal(size=(5, 4097)).astype(np.float32)
    ledger = ClassLedger(ClassEntry(index=index, name=f"c{index}", born_offset="0:0") for index in range(5))
    return encode_weights(card_of(MODEL.name, MODEL.schema, CONSTANTS, backbone_json(MODEL.backbone), ledger), arrays)


def updates_in(store: ArtifactStore) -> list[ModelUpdate]:
    """Whole weights under versions from 1 on, then deltas over the last of them."""
    updates = []
    for version in range(1, WHOLE + 1):
        weights = weights_of(version, version)
        updates.append(
            replace(update_with(weights, version=version, model=MODEL.name), inline=None, uri=store.put(weights))
        )
    base = updates[-1]
    for version in range(WHOLE + 1, WHOLE + DELTAS + 1):
        newer = weights_of(WHOLE, version)
        content = delta_between(weights.content, newer.content, max_bytes=200_000)
        assert content is not None
        assert base.uri is not None
        delta = Delta(
            content=content,
            base_version=base.version,
            base_sha256=base.sha256,
            base_size_bytes=base.size_bytes,
            base_uri=base.uri,
        )
        updates.append(replace(update_with(newer, version=version, model=MODEL.name), inline=None, delta=delta))
    return updates


def memory(name: str) -> int:
    """`VmRSS` or `VmHWM`, the highest since it was last reset."""
    found = re.search(rf"{name}:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found is not None
    return int(found[1]) * 1024


def measured(swap: Callable[[], None]) -> tuple[int, int]:
    """Memory before, and at the most during."""
    gc.collect()
    before = memory("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")
    swap()
    return before, memory("VmHWM")


def main(folder: str) -> None:
    """Swap, and print."""
    torch.set_num_threads(1)
    mlflow = MlflowConfig(tracking_uri=f"sqlite:///{folder}/mlflow.db")
    updates = updates_in(ArtifactStore(mlflow, MODEL.name))
    feed, slot = QueuedFeed(), Slot()
    updater = Updater(
        feed,
        slot,
        ModelBuilder(MODEL, device=CPU, fetcher=ArtifactFetcher(mlflow)),
        model=MODEL.name,
        telemetry=CountedTelemetry(),
        clock=SystemClock(),
        give_up=lambda error: sys.exit(str(error)),
    )
    updater.follow()  # finds nothing at the end of the log; what comes next is appended
    found = []
    for update in updates:
        feed.append(update)
        found.append(measured(updater.follow))
        assert slot.newest().version == update.version
    before, during = zip(*found, strict=True)
    print(json.dumps({"weights_bytes": updates[0].size_bytes, "before": before, "during": during}))


if __name__ == "__main__":
    main(sys.argv[1])
