"""Gradient steps of the whole network on weighted cross-entropy, and on what the options add to it."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from penstock.flow import Array
from penstock.learning.adam import HEAD, DenseAdam
from penstock.learning.blocks import parts_of
from penstock.learning.network import Network
from penstock.learning.rates import LearningRates, Part
from penstock.learning.regularisers.chosen import Regularisers
from penstock.learning.regularisers.config import TrainingOptions
from penstock.learning.regularisers.remembered import RememberedLogits
from penstock.learning.regularisers.step import Step
from penstock.learning.regularisers.trained import TrainedWeights
from penstock.learning.table_adam import TableAdam
from penstock.learning.tensors import under

_PLAIN, _EVEN = TrainingOptions(), LearningRates()
_OPTIONS = "options."
LEAST_LIKELY = torch.finfo(torch.float32).tiny
"""A probability that has run out of float32 is no infinite loss."""


@dataclass(frozen=True, kw_only=True)
class StepRows:
    """What a run of k steps learns: `dense` [k, n, D] standardised, `tokens` [k, n, T], `classes` int64 [k, n].

    `shares` [k, n] are the rows' weights, each step's summing to 1: a row of weight w counts as w rows of weight 1.
    The first f rows of every step are the same, fresh ones, `fresh_weights` float32 [f] their weights as they came;
    of the others `remembered` [k·(n − f)] may tell the logits that they had.
    """

    dense: Tensor
    tokens: Tensor
    classes: Tensor
    shares: Tensor
    fresh_weights: Tensor
    remembered: RememberedLogits | None = None

    @property
    def num_fresh(self) -> int:
        return len(self.fresh_weights)

    def step(self, place: int) -> Step:
        """One of the steps, as the options look at it."""
        num_drawn = self.classes.shape[1] - self.num_fresh
        remembered = None
        if self.remembered is not None:
            remembered = self.remembered.between(place * num_drawn, (place + 1) * num_drawn)
        return Step(
            classes=self.classes[place].unsqueeze(1),
            shares=self.shares[place].unsqueeze(1),
            num_fresh=self.num_fresh,
            remembered=remembered,
        )


class Descent:
    """Adam on backbone and head; rows of an embedding table move only when a step touches them."""

    def __init__(
        self,
        network: Network,
        learning_rate: float,
        rates: LearningRates = _EVEN,
        options: TrainingOptions = _PLAIN,
    ) -> None:
        self._network = network
        self._rates = rates
        self._parts: dict[str, Part] = {**parts_of(network.backbone), HEAD: "head"}
        self._rate_of = {name: learning_rate * getattr(rates, part) for name, part in self._parts.items()}
        sparse = {id(parameter) for parameter in network.backbone.row_sparse_parameters()}
        trained = [(name, p) for name, p in network.backbone.named_parameters() if p.requires_grad]
        dense = {name: parameter for name, parameter in trained if id(parameter) not in sparse}
        self._adam = DenseAdam(dense.items(), network.head, learning_rate)
        self._tables = {name: TableAdam(p, self._rate_of[name]) for name, p in trained if id(p) in sparse}
        weights = TrainedWeights(dense, network.head)
        self._options = Regularisers(options, network, weights) if options.any_is_on else None
        self._events_learnt = 0
        self._still: frozenset[Part] | None = None
        self.backbone_moves = True
        self._moving_tables: list[TableAdam] = []
        self._thaw()

    def at_event(self, events_learnt: int) -> None:
        """So many events were learnt before the micro-batch to come: parts may thaw, an anchor may move."""
        self._events_learnt = events_learnt
        self._thaw()
        if self._options is not None:
            self._options.at_event(events_learnt)

    def begin(self) -> None:
        """The weights were set from elsewhere: options begin with the model as it stands."""
        if self._options is not None:
            self._options.load({})

    def before_growth(self) -> None:
        """Classes are about to be born."""
        if self._options is not None:
            self._options.before_growth(self._events_learnt)

    @property
    def served(self) -> Network:
        """The network whose answers count: the trained one, or that of its averaged weights."""
        if self._options is None or self._options.averaging is None:
            return self._network
        averaging = self._options.averaging
        averaging.catch_up()
        return replace(self._network, backbone=averaging.backbone, head=averaging.head)

    @torch.no_grad()
    def run(self, rows: StepRows) -> tuple[Tensor, Tensor]:
        """One step after the other.

        Returns the first step's logits [n, capacity], and the last one's loss [], both before their updates.
        """
        self._adam.follow_head()
        fresh = slice(0, rows.num_fresh)
        if self._options is not None:
            self._options.before_run(rows.dense[0, fresh], rows.tokens[0, fresh], self._events_learnt)
        steps = zip(
            rows.dense.unbind(),
            rows.tokens.unbind(),
            rows.classes.unsqueeze(2).unbind(),
            rows.shares.unsqueeze(2).unbind(),
            strict=True,
        )
        first_logits = None
        for place, (dense, tokens, classes, shares) in enumerate(steps):
            looked_at = None if self._options is None else rows.step(place)
            logits, probabilities = self._step(dense, tokens, classes, shares, looked_at)
            first_logits = logits if first_logits is None else first_logits
        assert first_logits is not None  # there is at least one step
        if self._options is not None:
            self._options.after_run(
                rows.dense[0, fresh],
                rows.tokens[0, fresh],
                rows.classes[0, fresh],
                rows.fresh_weights,
                self._events_learnt,
            )
        likely = probabilities.gather(1, classes).clamp_min_(LEAST_LIKELY)
        return first_logits, -likely.log_().mul_(shares).sum()

    def _step(
        self, dense: Tensor, tokens: Tensor, classes: Tensor, shares: Tensor, step: Step | None
    ) -> tuple[Tensor, Tensor]:
        """Returns logits and probabilities before the update."""
        head, backbone, options = self._network.head, self._network.backbone, self._options
        features = backbone.forward_to_learn(dense, tokens)
        logits = head.logits(features)
        # The gradient of softmax and cross-entropy at once; dead rows have probability 0, so gradient 0.
        probabilities = torch.softmax(logits, dim=1)
        logit_gradients = (probabilities * shares).scatter_add_(1, classes, -shares)
        if options is not None and step is not None:
            options.before_backward(features, logits, logit_gradients, step)
            head.keep_asleep(logit_gradients.t())
        feature_gradients = head.backward(features, logit_gradients)
        if self.backbone_moves:
            backbone.backward(feature_gradients)
        if options is not None:
            options.before_update()
            head.keep_asleep(head.row_gradients)
        self._adam.step()
        for table in self._moving_tables:
            table.step()
        if options is not None:
            options.after_update()
        return logits, probabilities

    def _thaw(self) -> None:
        """Move the parts that may move now."""
        still = self._rates.still_at(self._events_learnt)
        if still != self._still:
            self._still = still
            self._adam.use_rates({n: rate for n, rate in self._rate_of.items() if self._parts[n] not in still})
            self.backbone_moves = not still >= {"last_block", "lower"}
            self._moving_tables = [table for name, table in self._tables.items() if self._parts[name] not in still]

    def head_moments(self, index: int) -> tuple[Tensor, Tensor]:
        """Adam's moments of a row of the head [H + 1], to be read or overwritten."""
        return self._adam.head_moments(index)

    def row_was_set(self, index: int) -> None:
        """A row of the head was put to sleep or woken: what options know of it begins anew."""
        if self._options is not None:
            self._options.row_was_set(index)

    def state(self) -> dict[str, Tensor]:
        """The optimizer's own tensors and the options' by dotted name; some are copies, some are not."""
        state = {f"dense.{name}": tensor for name, tensor in self._adam.state().items()}
        for table, adam in self._tables.items():
            state |= {f"table.{table}.{name}": tensor for name, tensor in adam.state().items()}
        if self._options is not None:
            state |= {_OPTIONS + name: tensor for name, tensor in self._options.state().items()}
        return state

    def load(self, arrays: Mapping[str, Array]) -> None:
        """Take up the values of `state()` of a descent over a network of the same build and number of classes.

        The network has its values already. An option that was off when the state was taken begins now.

        Raises:
            KeyError: a tensor is missing.
            RuntimeError: a tensor is of another shape.
        """
        self._adam.load(under("dense.", arrays))
        for table, adam in self._tables.items():
            adam.load(under(f"table.{table}.", arrays))
        if self._options is not None:
            self._options.load(under(_OPTIONS, arrays))
