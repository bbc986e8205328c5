"""The heads beside the linear one, and the mixture of all: predict, score, watch, learn."""

import hashlib
from collections.abc import Callable, Mapping

import numpy as np
import numpy.typing as npt
import structlog
import torch

from penstock.flow import Array
from penstock.learning.config import HeadName
from penstock.learning.device import CPU
from penstock.learning.heads import ensemble_state
from penstock.learning.heads.absence import NEW_ROWS, Attendance
from penstock.learning.heads.alarm import Alarm
from penstock.learning.heads.analytic import AnalyticHead
from penstock.learning.heads.answer import Answer
from penstock.learning.heads.changed_meaning import ChangedMeaning
from penstock.learning.heads.class_bursts import ClassBursts
from penstock.learning.heads.class_parts import ClassParts
from penstock.learning.heads.discriminant import Readout
from penstock.learning.heads.exceptions import Exceptions, RowKeys, overruled
from penstock.learning.heads.forgetting import MOST_CLASSES as MOST_FORGOTTEN
from penstock.learning.heads.forgetting import WIDEST, ForgettingHead
from penstock.learning.heads.fresh import FreshRows, Predictions
from penstock.learning.heads.frozen import FrozenFeatures
from penstock.learning.heads.held_rows import HeldRows, LinearOf
from penstock.learning.heads.inputs import HeadInputs
from penstock.learning.heads.instances import MOST_CLASSES as MOST_NEIGHBOUR_CLASSES
from penstock.learning.heads.instances import Instances
from penstock.learning.heads.mixture import Mixture, mixed
from penstock.learning.heads.reading_again import holds_all, learn_again
from penstock.learning.heads.solving import Solving
from penstock.learning.history import History
from penstock.learning.reservoir import Reservoir
from penstock.learning.rows import EncodedRows
from penstock.learning.shelves import Shelves
from penstock.learning.window import Window

Float64s = npt.NDArray[np.float64]
Int64s = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

URGENT_EVENTS = 64
URGENT_STEPS = 4

log = structlog.get_logger(__name__)


class Ensemble:
    """All of it but the linear head's own weights and the rows that are kept."""

    def __init__(
        self,
        heads: tuple[HeadName, ...],
        *,
        num_numbers: int,
        dense_width: int,
        tokens_width: int,
        seed: int,
        history: History,
        forgetting: float = 1.0,
        features: FrozenFeatures | None = None,
        device: torch.device = CPU,
    ) -> None:
        """`history` is the learner's; it must know of every change of moments before anything is settled under it.

        `features` are those of a frozen backbone, where the heads read them rather than rows as encoded. `device` is
        where the analytic head reckons; the others' arithmetic is too little to be sent anywhere.
        """
        self.heads, self.seed = heads, seed
        self.inputs = HeadInputs(num_numbers, dense_width, seed=seed, features=features)
        width = self.inputs.width
        self.keys_of = RowKeys(dense_width + tokens_width)
        self.attendance, self.shelves = Attendance(), Shelves()
        self.alarm, self.bursts = Alarm(), ClassBursts()
        self.exceptions: Exceptions | None = Exceptions() if "instances" in heads else None
        self.analytic: AnalyticHead | None = None
        if "analytic" in heads and width:
            self.analytic = AnalyticHead(width, seed=seed, forgetting=forgetting, device=device)
        self.forgetting = ForgettingHead(width) if self.analytic is not None and width <= WIDEST else None
        members: list[str] = ["linear"] if "linear" in heads else []
        members += ["analytic"] if self.analytic is not None else []
        members += ["forgetting"] if self.forgetting is not None else []
        members += ["near", "far"] if "instances" in heads and width else []
        self.members = tuple(members)
        self.mixture = Mixture(len(members))
        self.instances = Instances(self.shelves, self.attendance, self.inputs)
        self.held = HeldRows(self.shelves, self.attendance, self.inputs, history)
        self.solving = Solving(self.attendance)
        self._meaning = ChangedMeaning(self.alarm, self.bursts, self.attendance, self.held, self.mixture)
        self.urgent_until = 0

    @property
    def weights_by_head(self) -> dict[str, float]:
        """Weight of each member in the mixture; they sum to 1."""
        return dict(zip(self.members, self.mixture.weights.tolist(), strict=True))

    def answer(self, live: Bools) -> Answer:
        """The members as they stand; `live` [C] marks classes that may be answered."""
        readouts: dict[str, Readout | None] = {}
        if self.analytic is not None:
            readouts["analytic"] = self.analytic.readout
        if self.forgetting is not None:
            readouts["forgetting"] = self.forgetting.readout
        return Answer(
            members=self.members,
            num_classes=len(live),
            live=None if live.all() else live,
            abstaining=self._abstaining(len(live)),
            features=self.analytic.features if self.analytic is not None else None,
            readouts=readouts,
            neighbours={"near": self.instances.near, "far": self.instances.far},
        )

    def _abstaining(self, num_classes: int) -> Bools | None:
        """[K, C]: members that keep rows, or follow them, know nothing yet of a class that has only just woken."""
        attendance = self.attendance
        if self.analytic is None or not attendance.is_any_drowsy:
            return None
        drowsy = attendance.rows_since_waking[:num_classes] < NEW_ROWS
        silent = np.array([member != "analytic" for member in self.members])[:, None] & drowsy
        if self.forgetting is not None:  # it has kept the mean of a class that slept
            silent[self.members.index("forgetting")] &= self.forgetting.counts[:num_classes] == 0
        return silent

    def predict(self, answer: Answer, rows: FreshRows, linear: Float64s | None) -> Predictions:
        """Before anything of `rows` is learnt."""
        scores = answer.scores(rows.inputs, linear)
        opinions = answer.opinions(scores, self.mixture.temperatures)
        probabilities = mixed(opinions, self.mixture.weights)
        if self.exceptions is not None and len(self.exceptions):
            probabilities = overruled(probabilities, self.exceptions.look_up(rows.keys), answer.live)
        return Predictions(scores=scores, opinions=opinions, probabilities=probabilities)

    def probabilities(self, rows: EncodedRows, linear: Float64s, live: Bools) -> Float64s:
        """[n, C] of the moment, for the linear head's logits [n, C] and the classes `live` [C]."""
        answer, inputs = self.answer(live), self.inputs(rows)
        found = answer.probabilities(inputs, linear, self.mixture.temperatures, self.mixture.weights)
        if self.exceptions is not None and len(self.exceptions):
            found = overruled(found, self.exceptions.look_up(self.keys_of(rows.dense, rows.tokens)), answer.live)
        return found

    def score(
        self,
        answer: Answer,
        predictions: Predictions,
        classes: Int64s,
        num_fresh: int,
        reservoir: Reservoir,
        linear_of: LinearOf,
        draws: np.random.Generator,
    ) -> None:
        """Let the mixture learn from predicted rows [n], of `num_fresh` fresh ones, and held rows of absent classes."""
        scores, opinions = predictions.scores, predictions.opinions
        known = np.flatnonzero(classes < answer.num_classes)
        if len(known) < len(classes):
            scores, opinions, classes = scores[:, known], opinions[:, known], classes[known]
        held = self.held.draw(num_fresh, reservoir, draws)
        if len(held):
            theirs = self.held.scores(answer, held, reservoir, linear_of)
            scores = np.concatenate((scores, theirs), axis=1)
            opinions = np.concatenate((opinions, answer.opinions(theirs, self.mixture.temperatures)), axis=1)
            classes = np.concatenate((classes, self.held.classes[held]))
        if len(classes):
            self.mixture.learn(scores, opinions, classes, self.attendance.absence)

    def watch(
        self,
        answer: Answer,
        classes: Int64s,
        predicted: Int64s,
        events: Int64s,
        reservoir: Reservoir,
        linear_of: LinearOf,
    ) -> tuple[Int64s, int]:
        """Classes whose meaning has changed, mostly none, and the event at which that began."""
        return self._meaning.watch(answer, classes, predicted, events, reservoir, linear_of)

    def begin_anew(self, reservoir: Reservoir, window: Window) -> None:
        """After an alarm: sums are those of the surviving rows, all members are equal, steps are urgent for a while."""
        now = self.attendance.num_events
        self.alarm.reset(now)
        self.mixture.forget()
        self.urgent_until = now + URGENT_EVENTS
        if self.analytic is not None:
            self.analytic.forget_all()
            slots = np.flatnonzero(reservoir.slot_classes >= 0)
            places = window.newest(len(window))
            places = places[~np.isin(window.priorities[places], reservoir.priorities[slots])]
            for rows in (reservoir.at(slots), window.rows.at(places)):
                if len(rows.classes):
                    self.analytic.learn(self.inputs(rows.encoded), rows.classes, rows.weights.astype(np.float64))
        self.rows_left(reservoir, window)

    def grow(self, num_classes: int) -> None:
        """Make room for classes; parts that would cost too much with so many step aside."""
        if self.analytic is not None:
            before = self.analytic.features.num_random
            self.analytic.grow(num_classes)
            if self.analytic.features.num_random < before:
                after = self.analytic.features.num_random
                log.info("analytic head gives up random features", classes=num_classes, before=before, after=after)
        if self.forgetting is not None:
            if num_classes > MOST_FORGOTTEN:
                self.forgetting = None
                self._step_aside(("forgetting",), num_classes)
            else:
                self.forgetting.grow(num_classes)
        if num_classes > MOST_NEIGHBOUR_CLASSES and "near" in self.members:
            self.instances.step_aside()
            self._step_aside(("near", "far"), num_classes)

    def learn(self, rows: FreshRows, is_held: Bools) -> None:
        """What does not depend on the rows that are kept; before `remember`."""
        if self.analytic is not None:
            self.analytic.learn(rows.inputs, rows.classes, rows.weights.astype(np.float64))
        if self.forgetting is not None:
            free = np.flatnonzero(~is_held)
            if len(free):
                self.forgetting.learn(rows.inputs[free], rows.classes[free], rows.weights[free].astype(np.float64))

    def settle_when_due(self, rows: FreshRows, reservoir: Reservoir) -> None:
        """Solve and sort again if enough is new."""
        if self.solving.is_due(rows.classes, self.analytic):
            self.settle(reservoir)

    def settle(self, reservoir: Reservoir) -> None:
        """Solve, sort the long-term rows, and see what the analytic head says of held ones without them."""
        self.solving.done()
        self.shelves.sort(reservoir.slot_classes, reservoir.priorities, len(self.attendance.counts))
        if self.analytic is not None:
            self.analytic.solve()
        self.held.settle(reservoir, self.analytic)
        self.instances.absent_at = -1

    def remember(self, rows: FreshRows, reservoir: Reservoir, window: Window) -> None:
        """Follow the kept rows: the newest, those of absent classes, and the sample of all."""
        if "near" in self.members:
            self.instances.remember(rows.inputs, reservoir, window)

    def refresh_inputs(self, reservoir: Reservoir, window: Window) -> None:
        """Where inputs are standardised anew: read all kept rows again."""
        if "near" in self.members:
            self.instances.refresh(reservoir, window)

    def rescaled(self, reservoir: Reservoir, window: Window) -> bool:
        """Inputs are standardised anew. True if all that was ever learnt is kept, and has been learnt again so.

        Then `rows_left` must follow.
        """
        is_any_asleep = bool(self.attendance.asleep.any())  # its rows are kept no more, but for its waking G holds them
        if self.analytic is None or is_any_asleep or not holds_all(window, self.analytic):
            self.refresh_inputs(reservoir, window)
            return False
        learn_again(window, self.inputs, self.shelves, self.analytic, self.forgetting)
        return True

    def rows_left(self, reservoir: Reservoir, window: Window) -> None:
        """Follow kept rows that left, solve and sort again."""
        self.refresh_inputs(reservoir, window)
        self.settle(reservoir)

    def _step_aside(self, members: tuple[str, ...], num_classes: int) -> None:
        log.info("heads step aside", heads=", ".join(members), classes=num_classes)
        places = np.array([place for place, member in enumerate(self.members) if member not in members])
        self.members = tuple(member for member in self.members if member not in members)
        self.mixture.keep(places)

    @property
    def psi_fingerprint(self) -> str | None:
        """Of the fixed features that the analytic head's sums are of; None where there is no such head."""
        if self.analytic is None:
            return None
        own, theirs = self.analytic.features.fingerprint, self.inputs.fingerprint
        return own if theirs is None else hashlib.sha256(f"{own} of the backbone {theirs}".encode()).hexdigest()

    @property
    def class_parts(self) -> ClassParts:
        """For classes that fall asleep and wake. Call `settle` or `rows_left` after a change."""
        return ClassParts(
            analytic=self.analytic, forgetting=self.forgetting, exceptions=self.exceptions, attendance=self.attendance
        )

    def state(self) -> dict[str, Array]:
        """Copies of what must survive, by dotted name; `members` are in the JSON part."""
        return ensemble_state.state_of(self)

    def late_state(self) -> dict[str, Callable[[], Array]]:
        """The rest of `state`, worked out when it is called, in any thread; it is that of now all the same."""
        return ensemble_state.late_state_of(self)

    def load(self, arrays: Mapping[str, Array], members: tuple[str, ...], window: Window) -> None:
        """Take up the values of `state()` of an ensemble with these members. Raises `ValueError` where they differ."""
        ensemble_state.load_into(self, arrays, members, window)
