"""I3 and the log's half of I4: every announced update is whole; and which of them a replica may serve."""

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from penstock.adapters.kafka.config import KafkaValue
from penstock.adapters.kafka.log_reader import Entry
from penstock.adapters.kafka.topic_names import TopicNames
from penstock.adapters.mlflow.artifacts import KEPT
from penstock.adapters.mlflow.config import MlflowConfig
from penstock.adapters.mlflow.fetcher import ArtifactFetcher
from penstock.flow import Claim, ModelUpdate
from penstock.learning.config import ModelConfig
from penstock.learning.predictor import Predictor
from penstock.serving.weights_reader import whole_weights
from verifying.topics import update_entries


def announced(options: Mapping[str, KafkaValue], model: str) -> list[ModelUpdate]:
    """Every update on the topic, in the log's order, those of fenced trainers included."""
    return [entry.record for entry in _entries(options, model) if isinstance(entry.record, ModelUpdate)]


def acceptable(options: Mapping[str, KafkaValue], model: str) -> dict[int, ModelUpdate]:
    """By version, the updates that were not appended after a claim of a higher epoch."""
    highest, found = 0, dict[int, ModelUpdate]()
    for entry in _entries(options, model):
        if isinstance(entry.record, Claim):
            highest = max(highest, entry.record.epoch)
        elif isinstance(entry.record, ModelUpdate) and entry.record.epoch >= highest:
            found[entry.record.version] = entry.record
    return found


def assert_updates_whole(
    options: Mapping[str, KafkaValue], model: ModelConfig, mlflow: MlflowConfig | None = None
) -> int:
    """I3 on the topic: each update's weights are there, are those of its sha256, and can be served; returns how many.

    Weights by URI are kept for the newest few updates only, and so are the bases of deltas.
    """
    updates = announced(options, model.name)
    kept = [update.uri for update in updates if update.uri is not None][-KEPT:]
    for update in updates:
        if update.inline is None and (update.delta.base_uri if update.delta else update.uri) not in kept:
            continue
        content = bytes(update.inline) if update.inline is not None else _fetched(update, mlflow)
        assert len(content) == update.size_bytes, f"version {update.version} has {len(content)} bytes of weights"
        assert hashlib.sha256(content).hexdigest() == update.sha256, f"version {update.version} is not its sha256"
        predictor = Predictor.from_weights(content, model=model, device=torch.device("cpu"))
        assert predictor.class_ledger_digest == update.class_ledger_digest, f"version {update.version}: another ledger"
    _assert_one_sha256_a_version(acceptable(options, model.name).values())
    return len(updates)


def assert_log_of_one_writer(options: Mapping[str, KafkaValue], model: str) -> None:
    """I4 in the log: versions that replicas may accept only grow, and so does what they have learnt."""
    last: ModelUpdate | None = None
    for update in acceptable(options, model).values():
        if last is not None:
            assert update.version > last.version, f"version {update.version} comes after {last.version}"
            assert not last.offsets.is_ahead_of(update.offsets), f"version {update.version} has learnt less than before"
        last = update


def assert_records_whole(tracking_uri: str, model: str) -> int:
    """I3 in MLflow: the artifact of each version has the sha256 of its tag; returns how many there are."""
    from mlflow import MlflowClient, artifacts

    versions: Sequence[Any] = MlflowClient(tracking_uri).search_model_versions(f"name='{model}'")
    for version in versions:
        uri = f"{MlflowClient(tracking_uri).get_model_version_download_uri(model, version.version)}/weights.safetensors"
        path = Path(artifacts.download_artifacts(uri, tracking_uri=tracking_uri))
        found = hashlib.sha256(path.read_bytes()).hexdigest()
        assert found == version.tags["penstock.sha256"], f"MLflow's version {version.version} is not its sha256"
    return len(versions)


def _fetched(update: ModelUpdate, mlflow: MlflowConfig | None) -> bytes:
    assert mlflow is not None, f"version {update.version} travels by URI: name the MLflow that has it"
    return whole_weights(update, ArtifactFetcher(mlflow))


def _assert_one_sha256_a_version(updates: "Sequence[ModelUpdate] | Any") -> None:
    seen: dict[int, str] = {}
    for update in updates:
        assert seen.setdefault(update.version, update.sha256) == update.sha256, (
            f"version {update.version} was used twice"
        )


def _entries(options: Mapping[str, KafkaValue], model: str) -> list[Entry]:
    return update_entries(options, TopicNames(model).updates)
