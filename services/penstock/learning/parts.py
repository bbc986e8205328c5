"""All that learning changes."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from penstock.learning.class_means import class_means
from penstock.learning.config import ModelConfig, TrainingConfig, check_frozen
from penstock.learning.descent import Descent
from penstock.learning.doubts import Doubt
from penstock.learning.encoder import Encoder
from penstock.learning.heads.ensemble import Ensemble
from penstock.learning.heads.frozen import FrozenFeatures
from penstock.learning.history import History
from penstock.learning.ledger import ClassLedger
from penstock.learning.network import Network, build_network
from penstock.learning.randomness import OwnRandomness
from penstock.learning.regularisers.remembered import largest
from penstock.learning.reservoir import Reservoir
from penstock.learning.retracted import Retracted
from penstock.learning.rows import EncodedRows, columns_of
from penstock.learning.set_aside import HeldOut, HoldOut
from penstock.learning.sleepers import Sleepers
from penstock.learning.standardiser import Moments
from penstock.learning.train_rows import RowForm, TrainRows
from penstock.learning.watching.watch import Watch
from penstock.learning.window import Window, window_rows
from penstock.replay.config import ReplayConfig

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
    doubt: Doubt
    """Only where the linear head is alone."""

    def encoded(self, events: Any) -> EncodedRows:
        """The events [n] as rows; the first ones ever settle how columns become numbers."""
        columns = columns_of(events, self.encoder.schema)
        if not self.encoder.is_fitted:
            self.encoder = self.encoder.fitted_to(columns)
        return self.encoder.encode(columns)

    def know_classes(self, num_classes: int) -> None:
        """Make room in what is counted by class."""
        missing = num_classes - len(self.class_events)
        if missing > 0:
            self.class_events = np.concatenate((self.class_events, np.zeros(missing, dtype=np.int64)))

    def kept_rows_of(self, label: int) -> tuple[EncodedRows, npt.NDArray[np.float32]]:
        """The rows [n] that are kept of a class, each once, and their weights [n]."""
        slots = np.flatnonzero(self.reservoir.slot_classes == label)
        newest = self.window.newest(len(self.window))
        places = newest[self.window.rows.classes[newest] == label]
        places = places[~np.isin(self.window.priorities[places], self.reservoir.priorities[slots])]
        rows = EncodedRows.joined((self.reservoir.encoded_at(slots), self.window.rows.at(places).encoded))
        return rows, np.concatenate((self.reservoir.weights_at(slots), self.window.rows.weights[places]))

    def kept_priorities(self) -> npt.NDArray[np.uint64]:
        """Of all rows that are kept."""
        kept = self.reservoir.priorities[self.reservoir.slot_classes >= 0]
        return np.union1d(kept, self.window.priorities[self.window.newest(len(self.window))])

    def num_kept(self) -> Int64s:
        """Rows that are kept of each class, each once."""
        newest = self.window.newest(len(self.window))
        newest = newest[~self.reservoir.holds(self.window.priorities[newest])]
        in_window = np.bincount(self.window.rows.classes[newest], minlength=len(self.ledger))
        return in_window + self.reservoir.num_by_class(len(in_window))

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

    def remembered_losses(self, slots: Int64s) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
        """Classes [n] and losses [n] in nats, under the weights of now, of the long-term rows in these slots [n]."""
        rows = self.reservoir.at(slots)
        likely = self.probabilities(rows.encoded)[np.arange(len(rows.classes)), rows.classes]
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
            network.head.imprint(class_means(features, born))

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
    """Parts that have learnt nothing. Raises `ConfigurationError` where backbone or heads do not work so."""
    check_frozen(model, training)
    encoder = Encoder(model.schema, model.backbone)
    is_mixed = model.heads != ("linear",)
    newest = window_rows(replay.capacity) if is_mixed else 0
    kept = replace(replay, capacity=replay.capacity - newest)
    network = build_network(encoder, model.backbone, seed=training.seed, device=device)
    history = History()
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
        ensemble=empty_ensemble(model, encoder, training, training.seed, network, history) if is_mixed else None,
        class_events=np.zeros(0, dtype=np.int64),
        sleepers=Sleepers(),
        history=history,
        retracted=Retracted(),
        held_out=HeldOut(hold_out),
        doubt=Doubt(),
    )


def empty_ensemble(
    model: ModelConfig, encoder: Encoder, training: TrainingConfig, seed: int, network: Network, history: History
) -> Ensemble:
    """Heads that have learnt nothing, for rows as the encoder makes them, or as the network's backbone reads them."""
    reads_backbone = model.head_inputs == "backbone"
    return Ensemble(
        model.heads,
        num_numbers=encoder.num_numbers,
        dense_width=encoder.dense_width,
        tokens_width=encoder.tokens_width,
        seed=seed,
        history=history,
        forgetting=training.analytic_forgetting,
        features=FrozenFeatures(network.backbone, network.device) if reads_backbone else None,
        device=network.device,
    )
