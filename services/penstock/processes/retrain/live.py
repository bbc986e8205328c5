"""The model that replicas serve now, as they read it from the update topic."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch

from penstock.adapters.kafka.update_feed import KafkaUpdateFeed
from penstock.adapters.mlflow.fetcher import ArtifactFetcher
from penstock.errors import RefusedUpdateError, UnavailableError
from penstock.flow import ModelUpdate
from penstock.learning.config import BackboneConfig, ModelConfig
from penstock.learning.weights import read_card
from penstock.processes.signing import serving_keys
from penstock.serving.builder import ModelBuilder
from penstock.serving.slot import ServedModel
from penstock.serving.weights_reader import whole_weights
from penstock.settings import Settings

BUILT_IN = ("mlp", "text")


@dataclass(frozen=True, kw_only=True)
class LiveModel:
    """`served` is None where its weights cannot be asked; `problem` then says why."""

    update: ModelUpdate
    served: ServedModel | None
    problem: str = ""


def read_live(settings: Settings) -> LiveModel | None:
    """The newest on the update topic; None if nothing was ever announced.

    Raises:
        ConfigurationError, UnavailableError: the topic or the weights cannot be read.
    """
    feed = KafkaUpdateFeed(settings.kafka, settings.model.name, signing_keys=serving_keys(settings))
    try:
        update = newest(feed.newest())
    finally:
        feed.close()
    if update is None:
        return None
    fetcher = ArtifactFetcher(settings.mlflow, settings.serving.allowed_weights_prefixes)
    try:
        content = whole_weights(update, fetcher)
    except RefusedUpdateError as error:
        raise UnavailableError(f"The live model's weights cannot be fetched: {error}") from None
    try:
        return LiveModel(update=update, served=_built(settings, update, content, fetcher))
    except RefusedUpdateError as error:
        return LiveModel(update=update, served=None, problem=str(error))


def newest(records: Sequence[object]) -> ModelUpdate | None:
    """Of the highest epoch, the highest version."""
    updates = [record for record in records if isinstance(record, ModelUpdate)]
    return max(updates, key=lambda update: (update.epoch, update.version), default=None)


def _built(settings: Settings, update: ModelUpdate, content: bytes, fetcher: ArtifactFetcher) -> ServedModel:
    """Verified as a replica would; with the backbone that it was made with, if that is another built-in one."""
    model = _with_backbone_of(settings.model, read_card(content).backbone)
    builder = ModelBuilder(model, device=torch.device("cpu"), fetcher=fetcher, batch_sizes=lambda: (1,))
    return builder.build(replace(update, inline=content, uri=None, delta=None))


def _with_backbone_of(model: ModelConfig, backbone: Any) -> ModelConfig:
    if not isinstance(backbone, dict) or backbone.get("kind") not in BUILT_IN:
        return model
    hidden = backbone.get("hidden", "auto")
    known = {**backbone, "hidden": hidden if isinstance(hidden, str) else tuple(hidden)}
    return replace(model, backbone=BackboneConfig(**known))
