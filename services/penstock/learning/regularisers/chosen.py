"""The options that are on, each asked at its moment of a step."""

from collections.abc import Mapping
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from penstock.flow import Array
from penstock.learning.head import LinearHead
from penstock.learning.network import Network
from penstock.learning.regularisers.aligning import WeightAligning
from penstock.learning.regularisers.asymmetric import AsymmetricLoss
from penstock.learning.regularisers.averaging import AveragedWeights
from penstock.learning.regularisers.config import TrainingOptions
from penstock.learning.regularisers.dark_experience import DarkExperience
from penstock.learning.regularisers.elastic import ElasticConsolidation
from penstock.learning.regularisers.importance import ImportanceAwareStep
from penstock.learning.regularisers.step import LossTerm, Step
from penstock.learning.regularisers.synaptic import SynapticIntelligence
from penstock.learning.regularisers.teacher import Teacher
from penstock.learning.regularisers.trained import TrainedWeights
from penstock.learning.tensors import host_tensor, under

BIRTHS_APART_EVENTS = 500
"""Classes born closer together are one growth: the anchor does not move again."""


class Penalty(Protocol):
    """A pull on the weights."""

    def observe(self, features: Tensor, logits: Tensor, shares: Tensor) -> None:
        """See the fresh rows [n, …] of a run's first pass forth, before its pass back."""
        ...

    def before_update(self) -> None:
        """Change the gradients; they are of the losses alone until then."""
        ...

    def after_update(self) -> None:
        """The weights have moved."""
        ...

    def consolidate(self) -> None:
        """Drop anchor where the weights are."""
        ...

    def row_was_set(self, index: int) -> None:
        """A row of the head has other values now, which it did not learn."""
        ...

    def state(self) -> Mapping[str, Tensor]:
        """All that must survive."""
        ...

    def load(self, arrays: Mapping[str, Array]) -> None:
        """Take up the values of `state()`."""
        ...


class Regularisers:
    """Made once, over the tensors of one network."""

    def __init__(self, options: TrainingOptions, network: Network, weights: TrainedWeights) -> None:
        backbone, head = network.backbone, network.head
        self._head: LinearHead = head
        self._anchor_events = options.anchor_events
        self._anchored_at = torch.zeros((), dtype=torch.int64)
        self._teacher = Teacher(options.lwf_weight, backbone, head) if options.lwf_weight else None
        self._losses = _losses(options, self._teacher)
        self._penalties: dict[str, Penalty] = {}
        if options.si_strength:  # first: it reads gradients before anyone pulls
            self._penalties["si"] = SynapticIntelligence(options.si_strength, weights)
        if options.ewc_strength:
            self._penalties["ewc"] = ElasticConsolidation(options.ewc_strength, weights, backbone, head)
        self.averaging = AveragedWeights(options.ema_decay, backbone, head) if options.ema_decay else None
        self._aligning = (
            WeightAligning(options.weight_aligning_events, head) if options.weight_aligning_events else None
        )
        self._importance = ImportanceAwareStep(options.importance_rate, head) if options.importance_rate else None
        self._backbone = backbone
        self._is_first = False

    def at_event(self, events_learnt: int) -> None:
        """So many events were learnt before the micro-batch to come."""
        if self._anchor_events and events_learnt - int(self._anchored_at) >= self._anchor_events:
            self._consolidate(events_learnt)

    def before_growth(self, events_learnt: int) -> None:
        """Classes are about to be born."""
        is_due = not self._head.num_live or events_learnt - int(self._anchored_at) >= BIRTHS_APART_EVENTS
        if not self._anchor_events and is_due:
            self._consolidate(events_learnt)

    def before_run(self, dense: Tensor, tokens: Tensor, events_learnt: int) -> None:
        """The run's fresh rows [n, …], standardised; head rows may have been born since the last run."""
        self._is_first = True
        if self.averaging is not None:
            self.averaging.grow()
        if self._aligning is not None:
            self._aligning.grow(events_learnt)
        if self._teacher is not None:
            self._teacher.look_at(dense, tokens)

    def before_backward(self, features: Tensor, logits: Tensor, gradients: Tensor, step: Step) -> None:
        """Change the loss's gradient by logit [n, capacity] in place."""
        if self._is_first:
            fresh = slice(0, step.num_fresh)
            for penalty in self._penalties.values():
                penalty.observe(features[fresh], logits[fresh], step.shares[fresh])
            self._is_first = False
        for loss in self._losses:
            loss.adjust(gradients, logits, step)

    def before_update(self) -> None:
        """Change the gradients by weight."""
        for penalty in self._penalties.values():
            penalty.before_update()

    def after_update(self) -> None:
        """The weights have moved."""
        for penalty in self._penalties.values():
            penalty.after_update()
        if self.averaging is not None:
            self.averaging.follow()

    def after_run(self, dense: Tensor, tokens: Tensor, classes: Tensor, weights: Tensor, events_learnt: int) -> None:
        """The run's fresh rows [n, …], their classes int64 [n] and weights float32 [n]."""
        if self._importance is not None and len(classes):
            mode = self._backbone.training
            features = self._backbone.eval()(dense, tokens)
            self._backbone.train(mode)
            self._importance.apply(
                features, np.asarray(classes.cpu().numpy(), dtype=np.int64), weights.cpu().numpy().astype(np.float32)
            )
        if self._aligning is not None:
            self._aligning.apply(events_learnt)

    def row_was_set(self, index: int) -> None:
        """A row of the head was put to sleep or woken."""
        for penalty in self._penalties.values():
            penalty.row_was_set(index)
        if self._teacher is not None:
            self._teacher.row_was_set(index)
        if self.averaging is not None:
            self.averaging.row_was_set(index)

    def state(self) -> dict[str, Tensor]:
        """The tensors themselves, by dotted name."""
        state = {"anchored_at": self._anchored_at}
        for option, tensors in self._states().items():
            state |= {f"{option}.{name}": tensor for name, tensor in tensors.items()}
        return state

    def load(self, arrays: Mapping[str, Array]) -> None:
        """Take up the values of `state()`; an option that was not on then begins with the model as it stands."""
        if "anchored_at" in arrays:
            self._anchored_at.copy_(host_tensor(arrays["anchored_at"]))
        found = {name: under(f"{name}.", arrays) for name in ("si", "ewc", "lwf", "ema", "wa")}
        for name, penalty in self._penalties.items():
            if found[name]:
                penalty.load(found[name])
        if self._teacher is not None:
            self._teacher.load(found["lwf"]) if found["lwf"] else self._teacher.consolidate()
        if self.averaging is not None:
            self.averaging.load(found["ema"] or None)
        if self._aligning is not None:
            self._aligning.load(found["wa"] or None)

    def _states(self) -> dict[str, Mapping[str, Tensor]]:
        states = {name: penalty.state() for name, penalty in self._penalties.items()}
        if self._teacher is not None:
            states["lwf"] = self._teacher.state()
        if self.averaging is not None:
            states["ema"] = self.averaging.state()
        if self._aligning is not None:
            states["wa"] = self._aligning.state()
        return states

    def _consolidate(self, events_learnt: int) -> None:
        for penalty in self._penalties.values():
            penalty.consolidate()
        if self._teacher is not None:
            self._teacher.consolidate()
        self._anchored_at.fill_(events_learnt)


def _losses(options: TrainingOptions, teacher: Teacher | None) -> tuple[LossTerm, ...]:
    """ER-ACE first: it puts another gradient in the place of the plain one, the others add theirs."""
    losses: list[LossTerm] = [AsymmetricLoss()] if options.er_ace else []
    if teacher is not None:
        losses.append(teacher)
    if options.der_weight:
        losses.append(DarkExperience(options.der_weight))
    return tuple(losses)
