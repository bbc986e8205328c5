"""The parts of a learner as they go into a checkpoint, and come back."""

from collections.abc import Mapping
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import torch

from penstock.errors import InvalidEventError, StateError
from penstock.flow import Array, Checkpoint, Json
from penstock.learning.backbones import backbone_json
from penstock.learning.class_table import EVENTS, table_tensors
from penstock.learning.config import ModelConfig, TrainingConfig
from penstock.learning.encoder import Encoder, EncoderConstants
from penstock.learning.late_arrays import LateArrays
from penstock.learning.ledger import ClassLedger
from penstock.learning.parts import LearnerParts, empty_ensemble, new_parts
from penstock.learning.set_aside import HoldOut
from penstock.learning.tensors import host_copies, host_tensor, under
from penstock.replay.config import ReplayConfig

FORMAT = 4

_SLEEPERS, _HISTORY = "sleepers.", "history."
_NETWORK, _ADAM, _GENERATORS, _WINDOW, _HEADS = "network.", "adam.", "generators.", "window.", "heads."
_MOMENTS, _WATCH, _HELD_OUT, _DOUBT = "moments.", "watch.", "held_out.", "doubt."


def captured_tensors(parts: LearnerParts, network: Mapping[str, Array]) -> LateArrays:
    """Host copies by dotted name; `network` are those of `parts.network.tensors()`, made already.

    Some are worked out by whoever reads them, from values that are captured.
    """
    late = {} if parts.ensemble is None else parts.ensemble.late_state()
    return LateArrays(_ready_tensors(parts, network), {_HEADS + name: of_now for name, of_now in late.items()})


def _ready_tensors(parts: LearnerParts, network: Mapping[str, Array]) -> dict[str, Array]:
    ensemble = parts.ensemble
    heads = {} if ensemble is None else _prefixed(_HEADS, ensemble.state()) | _prefixed(_WINDOW, parts.window.state())
    return {
        **heads,
        **({} if ensemble is not None else _prefixed(_DOUBT, parts.doubt.state())),
        **_prefixed(_SLEEPERS, parts.sleepers.state()),
        **_prefixed(_HISTORY, parts.history.state() | parts.retracted.state()),
        **table_tensors(parts.class_events, parts.num_kept(), _recall(parts)),
        **_prefixed(_NETWORK, network),
        **_prefixed(_ADAM, host_copies(parts.descent.state())),
        **_prefixed(_GENERATORS, host_copies(parts.randomness.state())),
        **_prefixed(_MOMENTS, parts.moments.state()),
        **_prefixed(_WATCH, parts.watch.tensors()),
        **_prefixed(_HELD_OUT, parts.held_out.tensors()),
    }


def captured_state(parts: LearnerParts, model: ModelConfig) -> dict[str, Json]:
    """What is not an array, as JSON."""
    return {
        "format": FORMAT,
        "backbone": backbone_json(model.backbone),
        "heads": list(model.heads),
        "head_inputs": model.head_inputs,
        "members": [] if parts.ensemble is None else list(parts.ensemble.members),
        "heads_seed": None if parts.ensemble is None else parts.ensemble.seed,
        "class_ledger": parts.ledger.to_json(),
        "encoder": parts.encoder.constants.to_json(),
        "moments_count": parts.moments.count,
        "reservoir": parts.reservoir.state(),
        "draws": _generator_json(parts.draws),
        "watch": parts.watch.state(),
    }


def _recall(parts: LearnerParts) -> npt.NDArray[np.float64]:
    """[C]; NaN for a class of which no row was scored."""
    scored = parts.watch.details().classes
    recall = np.full(len(parts.class_events), np.nan)
    recall[: len(scored)] = np.where(scored.rows > 0, scored.recall, np.nan)
    return recall


def restored_parts(
    checkpoint: Checkpoint,
    model: ModelConfig,
    training: TrainingConfig,
    replay: ReplayConfig,
    device: torch.device,
    hold_out: HoldOut | None = None,
) -> LearnerParts:
    """The parts as they were captured, under the configuration of now.

    Raises:
        StateError: the checkpoint is of another model, feature schema, backbone or format, or does not fit.
        ConfigurationError: the backbone does not work.
    """
    _check_same_build(checkpoint, model)
    parts = new_parts(model, training, replay, device, hold_out)
    try:
        _restore(parts, checkpoint, model, training)
    except (KeyError, TypeError, ValueError, RuntimeError, InvalidEventError) as error:
        raise StateError(f"The checkpoint of step {checkpoint.step} does not fit this model: {error}.") from error
    return parts


def _check_same_build(checkpoint: Checkpoint, model: ModelConfig) -> None:
    where = f"The checkpoint of step {checkpoint.step}"
    if checkpoint.model != model.name:
        raise StateError(f"{where} is of model {checkpoint.model!r}; model.name is {model.name!r}.")
    if checkpoint.schema_digest != model.schema.digest:
        raise StateError(
            f"{where} has learnt other features than model.features now lists; restore the features,"
            " or set another state.directory or model.name to start anew."
        )
    if checkpoint.state.get("format") != FORMAT:
        raise StateError(f"{where} has format {checkpoint.state.get('format')!r}; this release reads {FORMAT}.")
    if checkpoint.state.get("backbone") != backbone_json(model.backbone):
        raise StateError(
            f"{where} has the backbone {checkpoint.state.get('backbone')}; model.backbone is now"
            f" {backbone_json(model.backbone)}; restore it, or set another state.directory or model.name."
        )
    if checkpoint.state.get("heads") != list(model.heads):
        raise StateError(
            f"{where} has the heads {checkpoint.state.get('heads')}; model.heads is now {list(model.heads)};"
            " restore it, or set another state.directory or model.name."
        )
    head_inputs = checkpoint.state.get("head_inputs", "encoded")
    if head_inputs != model.head_inputs:
        raise StateError(
            f"{where} has heads that read {head_inputs!r}; model.head_inputs is now {model.head_inputs!r}; restore it,"
            " or set another state.directory or model.name."
        )


def _restore(parts: LearnerParts, checkpoint: Checkpoint, model: ModelConfig, training: TrainingConfig) -> None:
    tensors, state = checkpoint.tensors, cast(Mapping[str, Any], checkpoint.state)
    parts.ledger = ClassLedger.from_json(state["class_ledger"])
    parts.encoder = Encoder(model.schema, model.backbone, EncoderConstants.from_json(state["encoder"]))
    parts.network.load(under(_NETWORK, tensors), num_classes=len(parts.ledger))
    parts.descent.load(under(_ADAM, tensors))
    parts.randomness.restore({name: host_tensor(a.copy()) for name, a in under(_GENERATORS, tensors).items()})
    moments = {name: tensors[_MOMENTS + name] for name in parts.moments.state()}
    parts.moments.load(moments, state["moments_count"])
    parts.watch.restore(under(_WATCH, tensors), state["watch"])
    if parts.ensemble is None and (doubt := under(_DOUBT, tensors)):
        parts.doubt.load(doubt)
    parts.held_out.restore(under(_HELD_OUT, tensors))
    parts.reservoir.restore(checkpoint.reservoir, state["reservoir"])
    parts.class_events = tensors[EVENTS].astype(np.int64)
    parts.sleepers.load(under(_SLEEPERS, tensors), checkpoint.packets)
    parts.history.load(under(_HISTORY, tensors))
    parts.retracted.load(under(_HISTORY, tensors))
    if parts.ensemble is not None:
        parts.window.load(under(_WINDOW, tensors))
        parts.ensemble = empty_ensemble(
            model, parts.encoder, training, state["heads_seed"], parts.network, parts.history
        )
        parts.ensemble.load(under(_HEADS, tensors), tuple(state["members"]), parts.window)
        if parts.reservoir.is_of_another_kind(state["reservoir"]):
            parts.ensemble.settle(parts.reservoir)
            parts.ensemble.refresh_inputs(parts.reservoir, parts.window)
    _restore_generator(parts.draws, state["draws"])


def _generator_json(generator: np.random.Generator) -> dict[str, Json]:
    """PCG64's state; its 128-bit numbers as text, which every JSON reader keeps whole."""
    state = cast(Any, generator.bit_generator.state)
    return {
        "state": str(state["state"]["state"]),
        "inc": str(state["state"]["inc"]),
        "has_uint32": int(state["has_uint32"]),
        "uinteger": int(state["uinteger"]),
    }


def _restore_generator(generator: np.random.Generator, stored: Mapping[str, Any]) -> None:
    generator.bit_generator.state = {
        "bit_generator": "PCG64",
        "state": {"state": int(stored["state"]), "inc": int(stored["inc"])},
        "has_uint32": stored["has_uint32"],
        "uinteger": stored["uinteger"],
    }


def _prefixed(prefix: str, arrays: Mapping[str, Array]) -> dict[str, Array]:
    return {prefix + name: array for name, array in arrays.items()}
