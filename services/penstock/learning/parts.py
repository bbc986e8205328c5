"""All that learning changes, and how it goes into a checkpoint and comes back."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import torch

from penstock.errors import InvalidEventError, StateError
from penstock.flow import Array, Checkpoint, Json
from penstock.learning.backbones import backbone_json
from penstock.learning.class_table import EVENTS, table_tensors
from penstock.learning.config import ModelConfig, TrainingConfig
from penstock.learning.descent import Descent
from penstock.learning.encoder import Encoder, EncoderConstants
from penstock.learning.heads.ensemble import Ensemble
from penstock.learning.history import History
from penstock.learning.ledger import ClassLedger
from penstock.learning.network import Network, build_network
from penstock.learning.randomness import OwnRandomness
from penstock.learning.regularisers.remembered import largest
from penstock.learning.reservoir import Reservoir
from penstock.learning.retracted import Retracted
from penstock.learning.rows import EncodedRows
from penstock.learning.set_aside import HeldOut, HoldOut
from penstock.learning.sleepers import Sleepers
from penstock.learning.standardiser import Moments
from penstock.learning.tensors import host_copies, host_tensor, under
from penstock.learning.train_rows import RowForm, TrainRows
from penstock.learning.watching.watch import Watch
from penstock.learning.window import Window, window_rows
from penstock.replay.config import ReplayConfig

FORMAT = 4

_SLEEPERS, _HISTORY = "sleepers.", "history."
_NETWORK, _ADAM, _GENERATORS, _WINDOW, _HEADS = "network.", "adam.", "generators.", "window.", "heads."
_WATCH, _HELD_OUT = "watch.", "held_out."
MOST_JUDGED = 1024
LEAST_PROBABILITY = 1e-9
Int64s = npt.NDArray[np.int64]


@dataclass(kw_only=True)
class LearnerParts:
    """Whatever is not here or in the learner's own counts does not survive."""

    ledger: ClassLedger
    encoder: Encoder
    network: Network
    moments: Moments
    descent: Descent
    reservoir: Reservoir
    draws: np.random.Generator
    randomness: OwnRandomness
    watch: Watch
    window: Window
    ensemble: Ensemble | None
    """None where the linear head is alone."""
    class_events: Int64s
    """Events learnt of each class."""
    sleepers: Sleepers
    history: History
    retracted: Retracted
    held_out: HeldOut

    def know_classes(self, num_classes: int) -> None:
        """Make room in what is counted by class."""
        missing = num_classes - len(self.class_events)
        if missing > 0:
            self.class_events = np.concatenate((self.class_events, np.zeros(missing, dtype=np.int64)))

    def kept_rows_of(self, label: int) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
        """Dense parts [n, D] and weights [n] of the rows that are kept of a class, each once."""
        slots = np.flatnonzero(self.reservoir.slot_classes == label)
        newest = self.window.newest(len(self.window))
        places = newest[self.window.rows.classes[newest] == label]
        places = places[~np.isin(self.window.priorities[places], self.reservoir.priorities[slots])]
        dense = (self.reservoir.dense_at(slots), self.window.rows.dense[places].cpu().numpy())
        weights = (self.reservoir.weights_at(slots), self.window.rows.weights[places])
        return np.concatenate(dense), np.concatenate(weights)

    def kept_priorities(self) -> npt.NDArray[np.uint64]:
        """Of all rows that are kept."""
        kept = self.reservoir.priorities[self.reservoir.slot_classes >= 0]
        return np.union1d(kept, self.window.priorities[self.window.newest(len(self.window))])

    def num_kept(self) -> Int64s:
        """Rows that are kept of each class, each once."""
        used = np.flatnonzero(self.reservoir.slot_classes >= 0)
        newest = self.window.newest(len(self.window))
        newest = newest[~np.isin(self.window.priorities[newest], self.reservoir.priorities[used])]
        classes = np.concatenate((self.reservoir.slot_classes[used], self.window.rows.classes[newest]))
        return np.bincount(classes, minlength=len(self.ledger))

    def probabilities(self, rows: EncodedRows) -> npt.NDArray[np.float32]:
        """[n, classes], each row summing to 1."""
        known = len(self.ledger)
        logits = self.descent.served.logits(*self.network.to_tensors(rows))[:, :known]
        if self.ensemble is None:
            asleep = torch.from_numpy(~self.ledger.live).to(logits.device)
            alone: npt.NDArray[np.float32] = torch.softmax(logits.masked_fill(asleep, -torch.inf), dim=1).cpu().numpy()
            return alone
        linear = logits.cpu().numpy().astype(np.float64)
        return self.ensemble.probabilities(rows, linear, self.ledger.live).astype(np.float32)

    def remembered_losses(self) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
        """Classes [n] and losses [n] in nats, under the weights of now, of rows spread over the long-term memory."""
        slots = np.flatnonzero(self.reservoir.slot_classes >= 0)
        rows = self.reservoir.at(slots[:: max(1, len(slots) // MOST_JUDGED)])
        encoded = EncodedRows(dense=rows.dense.cpu().numpy(), tokens=rows.tokens.cpu().numpy())
        likely = self.probabilities(encoded)[np.arange(len(rows.classes)), rows.classes]
        return rows.classes, -np.log(np.maximum(likely.astype(np.float64), LEAST_PROBABILITY))

    def imprint(self, rows: TrainRows, num_known: int) -> None:
        """Rows of the linear head for classes from `num_known` on, from the mean feature of each."""
        born_at = np.flatnonzero(rows.classes >= num_known)
        if not len(born_at):
            return
        self.descent.before_growth()
        rows, network = rows.at(born_at), self.network
        born = rows.classes - num_known
        with torch.no_grad():
            features = network.features(network.standardiser(rows.dense), rows.tokens)
            sums = features.new_zeros(int(born.max()) + 1, features.shape[1])
            sums.index_add_(0, torch.from_numpy(born).to(network.device), features)
            counts = torch.from_numpy(np.bincount(born)).to(network.device)
            network.head.imprint(sums / counts.unsqueeze(1))

    def as_put_away(self, rows: TrainRows) -> TrainRows:
        """The rows with the logits that the model has for them now, if kept rows are to be held to theirs."""
        if not self.reservoir.form.remembers_logits:
            return rows
        network = self.network
        logits = network.logits(rows.dense, rows.tokens)[:, : network.head.num_live]
        return replace(rows, remembered=largest(logits))


def new_parts(
    model: ModelConfig,
    training: TrainingConfig,
    replay: ReplayConfig,
    device: torch.device,
    hold_out: HoldOut | None = None,
) -> LearnerParts:
    """Parts that have learnt nothing. Raises `ConfigurationError` where the backbone does not work."""
    encoder = Encoder(model.schema, model.backbone)
    is_mixed = model.heads != ("linear",)
    newest = window_rows(replay.capacity) if is_mixed else 0
    kept = replace(replay, capacity=replay.capacity - newest)
    network = build_network(encoder, model.backbone, seed=training.seed, device=device)
    form = RowForm(
        dense_width=encoder.dense_width,
        tokens_width=encoder.tokens_width,
        device=device,
        remembers_logits=training.options.der_weight > 0,
    )
    return LearnerParts(
        ledger=ClassLedger(),
        encoder=encoder,
        network=network,
        moments=Moments(encoder.num_numbers),
        descent=Descent(network, training.learning_rate_for(model.backbone), training.learning_rates, training.options),
        reservoir=Reservoir(kept, form),
        draws=np.random.Generator(np.random.PCG64(training.seed)),
        randomness=OwnRandomness(training.seed, device),
        window=Window(newest, form),
        watch=Watch(training.prequential_fading),
        ensemble=_empty_ensemble(model, encoder, training, training.seed) if is_mixed else None,
        class_events=np.zeros(0, dtype=np.int64),
        sleepers=Sleepers(),
        history=History(),
        retracted=Retracted(),
        held_out=HeldOut(hold_out),
    )


def _empty_ensemble(model: ModelConfig, encoder: Encoder, training: TrainingConfig, seed: int) -> Ensemble:
    return Ensemble(
        model.heads,
        num_numbers=encoder.num_numbers,
        dense_width=encoder.dense_width,
        tokens_width=encoder.tokens_width,
        seed=seed,
        forgetting=training.analytic_forgetting,
    )


def captured_tensors(parts: LearnerParts, network: Mapping[str, Array]) -> dict[str, Array]:
    """Host copies by dotted name; `network` are those of `parts.network.tensors()`, made already."""
    ensemble = parts.ensemble
    heads = {} if ensemble is None else _prefixed(_HEADS, ensemble.state()) | _prefixed(_WINDOW, parts.window.state())
    return {
        **heads,
        **_prefixed(_SLEEPERS, parts.sleepers.state()),
        **_prefixed(_HISTORY, parts.history.state() | parts.retracted.state()),
        **table_tensors(parts.class_events, parts.num_kept(), _recall(parts)),
        **_prefixed(_NETWORK, network),
        **_prefixed(_ADAM, host_copies(parts.descent.state())),
        **_prefixed(_GENERATORS, host_copies(parts.randomness.state())),
        "moments.mean": parts.moments.mean.copy(),
        "moments.squares": parts.moments.squares.copy(),
        **_prefixed(_WATCH, parts.watch.tensors()),
        **_prefixed(_HELD_OUT, parts.held_out.tensors()),
    }


def captured_state(parts: LearnerParts, model: ModelConfig) -> dict[str, Json]:
    """What is not an array, as JSON."""
    return {
        "format": FORMAT,
        "backbone": backbone_json(model.backbone),
        "heads": list(model.heads),
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


def _restore(parts: LearnerParts, checkpoint: Checkpoint, model: ModelConfig, training: TrainingConfig) -> None:
    tensors, state = checkpoint.tensors, cast(Mapping[str, Any], checkpoint.state)
    parts.ledger = ClassLedger.from_json(state["class_ledger"])
    parts.encoder = Encoder(model.schema, model.backbone, EncoderConstants.from_json(state["encoder"]))
    parts.network.load(under(_NETWORK, tensors), num_classes=len(parts.ledger))
    parts.descent.load(under(_ADAM, tensors))
    parts.randomness.restore({name: host_tensor(a.copy()) for name, a in under(_GENERATORS, tensors).items()})
    parts.moments.count = state["moments_count"]
    parts.moments.mean = tensors["moments.mean"].astype(np.float64)
    parts.moments.squares = tensors["moments.squares"].astype(np.float64)
    parts.watch.restore(under(_WATCH, tensors), state["watch"])
    parts.held_out.restore(under(_HELD_OUT, tensors))
    parts.reservoir.restore(checkpoint.reservoir, state["reservoir"])
    parts.class_events = tensors[EVENTS].astype(np.int64)
    parts.sleepers.load(under(_SLEEPERS, tensors), checkpoint.packets)
    parts.history.load(under(_HISTORY, tensors))
    parts.retracted.load(under(_HISTORY, tensors))
    if parts.ensemble is not None:
        parts.window.load(under(_WINDOW, tensors))
        parts.ensemble = _empty_ensemble(model, parts.encoder, training, state["heads_seed"])
        parts.ensemble.load(under(_HEADS, tensors), tuple(state["members"]), parts.window)
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
