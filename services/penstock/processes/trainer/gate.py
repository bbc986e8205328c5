"""The trainer's gate, wired: its champion is the version announced last."""

import structlog
import torch

from penstock.adapters.mlflow.fetcher import ArtifactFetcher
from penstock.errors import PenstockError
from penstock.flow import ModelUpdate
from penstock.learning.predictor import Predictor
from penstock.serving.weights_reader import whole_weights
from penstock.settings import Settings
from penstock.telemetry import Telemetry
from penstock.trainer.gate import Gate

log = structlog.get_logger(__name__)


def gate_of(settings: Settings, newest: ModelUpdate | None, telemetry: Telemetry) -> Gate | None:
    """None where the gate is off. `newest` is the update that replicas serve by now."""
    if not settings.publish.gate.enabled:
        return None

    def build(content: bytes) -> Predictor:
        return Predictor.from_weights(content, model=settings.model, device=torch.device("cpu"))

    champion = None if newest is None else _weights_of(settings, newest)
    return Gate(settings.publish.gate.bounds, build, champion, telemetry)


def _weights_of(settings: Settings, update: ModelUpdate) -> bytes | None:
    try:
        return whole_weights(update, ArtifactFetcher(settings.mlflow))
    except PenstockError as error:
        log.warning("gate: the weights announced last cannot be read, the next version passes", reason=str(error))
        return None
