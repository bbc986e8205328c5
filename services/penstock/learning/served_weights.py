"""The weights file of a learner as it stands: what a replica answers with."""

from collections.abc import Mapping

from penstock.flow import Array, Weights
from penstock.learning.backbones import backbone_json
from penstock.learning.config import ModelConfig
from penstock.learning.heads.answer import Answer
from penstock.learning.heads.answer_tensors import answer_json, answer_tensors
from penstock.learning.heads.ensemble import Ensemble
from penstock.learning.parts import LearnerParts
from penstock.learning.weights import HEADS, card_of, encode_weights


def served_weights(parts: LearnerParts, model: ModelConfig, network: Mapping[str, Array]) -> Weights:
    """Of the `network`'s tensors that answer, and of all heads; the same state gives the same bytes."""
    ensemble = parts.ensemble
    answer = None if ensemble is None else ensemble.answer(parts.ledger.live)
    card = card_of(
        model.name,
        model.schema,
        parts.encoder.constants,
        backbone_json(model.backbone),
        parts.ledger,
        None
        if answer is None or ensemble is None
        else answer_json(answer, ensemble.seed, read_backbone=model.head_inputs == "backbone"),
    )
    heads = {} if answer is None or ensemble is None else _head_tensors(ensemble, answer)
    return encode_weights(card, {**network, **heads})


def _head_tensors(ensemble: Ensemble, answer: Answer) -> dict[str, Array]:
    tensors = answer_tensors(answer, ensemble.inputs) | {
        "mixture.temperatures": ensemble.mixture.temperatures.copy(),
        "mixture.weights": ensemble.mixture.weights.copy(),
    }
    if ensemble.exceptions is not None:
        tensors["exceptions.keys"], tensors["exceptions.classes"] = ensemble.exceptions.table()
    return {HEADS + name: tensor for name, tensor in tensors.items()}
