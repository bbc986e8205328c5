"""The heads beside the linear one, and the mixture of all: predict, score, watch, learn."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import structlog

from penstock.flow import Array
from penstock.learning.config import HeadName
from penstock.learning.heads.absence import NEW_ROWS, Attendance
from penstock.learning.heads.alarm import (
    BETTER_BY,
    COOLDOWN,
    ESTABLISHED_ROWS,
    QUIET_AFTER_BIRTH,
    SHARE_OF_ROWS,
    Alarm,
)
from penstock.learning.heads.analytic import AnalyticHead, ClassSums
from penstock.learning.heads.answer import Answer
from penstock.learning.heads.discriminant import Readout
from penstock.learning.heads.exceptions import Exceptions, RowKeys, overruled
from penstock.learning.heads.forgetting import FADING, WIDEST, ForgettingHead
from penstock.learning.heads.forgetting import MOST_CLASSES as MOST_FORGOTTEN
from penstock.learning.heads.inputs import HeadInputs
from penstock.learning.heads.mixture import Mixture, mixed
from penstock.learning.heads.neighbours import Neighbours
from penstock.learning.heads.slices import BUSY_ROWS
from penstock.learning.heads.spread import Spread
from penstock.learning.reservoir import Reservoir
from penstock.learning.rows import EncodedRows
from penstock.learning.shelves import Shelves
from penstock.learning.tensors import under
from penstock.learning.window import Window
from penstock.replay.class_balanced import largest_quota

Float64s = npt.NDArray[np.float64]
Float32s = npt.NDArray[np.float32]
Int64s = npt.NDArray[np.int64]
UInt64s = npt.NDArray[np.uint64]
Bools = npt.NDArray[np.bool_]

NEAR_ROWS = 256
FAR_NUMBERS = 65_536
FAR_NUMBERS_IN_FILE = 32_768
FAR_GROWTH = 1.05
MOST_TOP_UP = 64
MOST_HELD_SCORED = 512
BUSY_SOLVE_ROWS = 2048
MOST_NEIGHBOUR_CLASSES = 1000
SOLVED_AT_BIRTHS_UP_TO = 256
URGENT_EVENTS = 64
URGENT_STEPS = 4

log = structlog.get_logger(__name__)


@dataclass(frozen=True, kw_only=True)
class FreshRows:
    """A slice as the heads see it: encoded `dense` [n, D] and `inputs` [n, d], in the order of the events."""

    dense: Float32s
    inputs: Float64s
    keys: UInt64s
    classes: Int64s
    weights: Float32s
    priorities: UInt64s


@dataclass(frozen=True, kw_only=True)
class Predictions:
    """Of rows before they are learnt: members' scores and opinions [K, n, C], the mixture's probabilities [n, C]."""

    scores: Float64s
    opinions: Float64s
    probabilities: Float64s


class Ensemble:
    """All of it but the linear head's own weights and the rows that are kept."""

    def __init__(
        self, heads: tuple[HeadName, ...], *, num_numbers: int, dense_width: int, tokens_width: int, seed: int
    ) -> None:
        self.heads, self.seed = heads, seed
        self.inputs = HeadInputs(num_numbers, dense_width, seed=seed)
        width = self.inputs.width
        self.keys_of = RowKeys(dense_width + tokens_width)
        self.attendance = Attendance()
        self.shelves = Shelves()
        self.alarm = Alarm()
        self.exceptions: Exceptions | None = Exceptions() if "instances" in heads else None
        members: list[str] = ["linear"] if "linear" in heads else []
        self.analytic = AnalyticHead(width, seed=seed) if "analytic" in heads and width else None
        self.forgetting = ForgettingHead(width) if self.analytic is not None and width <= WIDEST else None
        members += ["analytic"] if self.analytic is not None else []
        members += ["forgetting"] if self.forgetting is not None else []
        members += ["near", "far"] if "instances" in heads and width else []
        self.members = tuple(members)
        self.mixture = Mixture(len(members))
        self.near: Neighbours | None = None
        self.far: Neighbours | None = None
        self._window_inputs: Float64s = np.zeros((0, width))
        self._absent: Neighbours | None = None
        self._far_at = 0
        self._absent_at = -1
        self._solved_at = 0
        self._solved_classes = 0
        self._held_slots: Int64s = np.zeros(0, dtype=np.int64)
        self._held_classes: Int64s = np.zeros(0, dtype=np.int64)
        self._held_priorities: UInt64s = np.zeros(0, dtype=np.uint64)
        self._held_scores: Float64s = np.zeros((0, 0))
        self._owed = 0.0
        self.urgent_until = 0

    @property
    def weights_by_head(self) -> dict[str, float]:
        """Weight of each member in the mixture; they sum to 1."""
        return dict(zip(self.members, self.mixture.weights.tolist(), strict=True))

    # -- predicting ------------------------------------------------------------------------------------------------

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
            neighbours={"near": self.near, "far": self.far},
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
        answer, inputs = self.answer(live), self.inputs(rows.dense)
        found = answer.probabilities(inputs, linear, self.mixture.temperatures, self.mixture.weights)
        if self.exceptions is not None and len(self.exceptions):
            found = overruled(found, self.exceptions.look_up(self.keys_of(rows.dense, rows.tokens)), answer.live)
        return found

    # -- scoring ---------------------------------------------------------------------------------------------------

    def score(
        self,
        answer: Answer,
        predictions: Predictions,
        classes: Int64s,
        num_fresh: int,
        reservoir: Reservoir,
        linear_of: Callable[[Int64s], Float64s | None],
        draws: np.random.Generator,
    ) -> None:
        """Let the mixture learn from predicted rows of known classes [n] and from held rows of absent ones.

        `num_fresh` is how many rows the slice has; `linear_of` gives the linear head's logits of rows in slots.
        """
        absence = self.attendance.absence
        scores, opinions = predictions.scores, predictions.opinions
        known = np.flatnonzero(classes < answer.num_classes)
        if len(known) < len(classes):
            scores, opinions, classes = scores[:, known], opinions[:, known], classes[known]
        held = self._draw_held(num_fresh, reservoir, draws)
        if len(held):
            theirs = self._held_scores_of(answer, held, reservoir, linear_of)
            scores = np.concatenate((scores, theirs), axis=1)
            opinions = np.concatenate((opinions, answer.opinions(theirs, self.mixture.temperatures)), axis=1)
            classes = np.concatenate((classes, self._held_classes[held]))
        if len(classes):
            self.mixture.learn(scores, opinions, classes, absence)

    def _draw_held(self, num_fresh: int, reservoir: Reservoir, draws: np.random.Generator) -> Int64s:
        """Places among the held rows, absent classes drawn by their absence; as many as absence asks for."""
        absence = self.attendance.absence
        self._owed += num_fresh * absence / (1 - absence)
        count, self._owed = int(self._owed), self._owed % 1
        count = min(count, MOST_TOP_UP)
        if not count or not len(self._held_slots):
            return self._held_slots[:0]
        shares = self.attendance.absences[self._held_classes]
        shares = shares / np.maximum(np.bincount(self._held_classes)[self._held_classes], 1)
        cumulated = np.cumsum(shares)
        if cumulated[-1] <= 0:
            return self._held_slots[:0]
        places = np.searchsorted(cumulated, draws.random(count) * cumulated[-1], side="right")
        places = places.clip(0, len(shares) - 1)
        drawn: Int64s = places[self._still_held(places, reservoir)]
        return drawn

    def _still_held(self, places: Int64s, reservoir: Reservoir) -> Bools:
        priorities = self._held_priorities[places]
        there = reservoir.priorities[self._held_slots[places]] == priorities
        held: Bools = there & self.shelves.is_held(self._held_classes[places], priorities)
        return held

    def _held_scores_of(
        self,
        answer: Answer,
        places: Int64s,
        reservoir: Reservoir,
        linear_of: Callable[[Int64s], Float64s | None],
    ) -> Float64s:
        """[K, n, C]: as if no member had learnt these rows."""
        slots = self._held_slots[places]
        rows = self.inputs(reservoir.dense_at(slots))
        scores = answer.scores(rows, linear_of(slots), self._held_priorities[places])
        if self.analytic is not None:
            known = self._held_scores.shape[1]
            at = self.members.index("analytic")
            scores[at, :, :known] = self._held_scores[places]
        return scores

    # -- watching --------------------------------------------------------------------------------------------------

    def watch(
        self,
        answer: Answer,
        classes: Int64s,
        hits: Bools,
        events: Int64s,
        reservoir: Reservoir,
        linear_of: Callable[[Int64s], Float64s | None],
    ) -> tuple[Int64s, int]:
        """Classes whose meaning has changed, mostly none, and the event at which that began."""
        attendance, nothing = self.attendance, self._held_slots[:0]
        known = classes < len(attendance.counts)
        classes, hits, events = classes[known], hits[known], events[known]
        old = attendance.counts[classes] >= ESTABLISHED_ROWS
        if not self.alarm.saw(classes[old], ~hits[old], events[old]):
            return nothing, 0
        now = attendance.num_events
        if now - attendance.last_birth < QUIET_AFTER_BIRTH or now - self.alarm.last < COOLDOWN:
            return nothing, 0
        suspects, right, began = self.alarm.suspects()
        conflicting = self._conflicting(answer, suspects, right, reservoir, linear_of)
        if 2 * len(conflicting) < len(suspects):
            return nothing, 0
        if attendance.counts[suspects].sum() < SHARE_OF_ROWS * attendance.num_events:
            return nothing, 0
        return suspects, began

    def _conflicting(
        self,
        answer: Answer,
        suspects: Int64s,
        right: Float64s,
        reservoir: Reservoir,
        linear_of: Callable[[Int64s], Float64s | None],
    ) -> Int64s:
        """Suspects whose held rows are right far more often than their fresh ones."""
        places = np.flatnonzero(np.isin(self._held_classes, suspects))
        places = places[self._still_held(places, reservoir)]
        if not len(places):
            return suspects[:0]
        scores = self._held_scores_of(answer, places, reservoir, linear_of)
        found = mixed(answer.opinions(scores, self.mixture.temperatures), self.mixture.weights)
        labels = self._held_classes[places]
        hits = found.argmax(axis=1) == labels
        before = np.array([hits[labels == label].mean() if (labels == label).any() else 0.0 for label in suspects])
        return suspects[before >= right + BETTER_BY]

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
            for dense, classes, weights in (
                (reservoir.dense_at(slots), reservoir.slot_classes[slots], reservoir.weights_at(slots)),
                (
                    window.rows.dense[places].cpu().numpy(),
                    window.rows.classes[places],
                    window.rows.weights[places],
                ),
            ):
                if len(classes):
                    self.analytic.learn(self.inputs(dense), classes, weights.astype(np.float64))
        self._refresh_inputs(reservoir, window)
        self.settle(reservoir)

    # -- learning --------------------------------------------------------------------------------------------------

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
            self.near, self.far = None, None
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
        attendance = self.attendance
        num_events, num_classes = attendance.num_events, len(attendance.counts)
        pending = num_events - self._solved_at
        born = num_classes - self._solved_classes
        size = self.analytic.features.size if self.analytic is not None else 0
        due = born > 0 and (num_classes <= SOLVED_AT_BIRTHS_UP_TO or born > num_classes // 64 or pending >= num_classes)
        if len(rows.classes) > BUSY_ROWS:
            due = due or pending >= max(BUSY_SOLVE_ROWS, num_events / 64)
        else:
            due = due or pending >= max(num_events / 64, size / 128)
            if not due and self.analytic is not None and pending >= size / 128:
                solved = self.analytic.solved_counts
                labels = np.unique(rows.classes)
                labels = labels[labels < len(solved)]
                due = bool((self.analytic.counts[labels] >= 1.125 * solved[labels]).any())
        if due:
            self.settle(reservoir)

    def settle(self, reservoir: Reservoir) -> None:
        """Solve, sort the long-term rows, and see what the analytic head says of held ones without them."""
        num_classes = len(self.attendance.counts)
        self._solved_at, self._solved_classes = self.attendance.num_events, num_classes
        self.shelves.sort(reservoir.slot_classes, reservoir.priorities, num_classes)
        slots = self.shelves.held(MOST_HELD_SCORED)
        self._held_slots = slots
        self._held_classes = reservoir.slot_classes[slots]
        self._held_priorities = reservoir.priorities[slots].copy()
        self._held_scores = np.zeros((len(slots), 0))
        if self.analytic is not None:
            self.analytic.solve()
            if len(slots) and self.analytic.readout is not None:
                weights = reservoir.weights_at(slots).astype(np.float64)
                self._held_scores = self.analytic.scores_without(
                    self.inputs(reservoir.dense_at(slots)), self._held_classes, weights
                )
        self._absent_at = -1

    def remember(self, rows: FreshRows, reservoir: Reservoir, window: Window) -> None:
        """Follow the kept rows: the newest, those of absent classes, and the sample of all."""
        if "near" not in self.members:
            return
        count = min(NEAR_ROWS, len(window))
        self._window_inputs = np.concatenate((self._window_inputs, rows.inputs))[-count:] if count else rows.inputs[:0]
        if self.attendance.num_events >= self._far_at * FAR_GROWTH:
            self._take_far(reservoir)
        if self._absent_at < 0 or self.attendance.num_events - self._absent_at >= NEAR_ROWS // 8:
            self._take_absent(reservoir)
        self._join_near(window)

    def _join_near(self, window: Window) -> None:
        count = len(self._window_inputs)
        places = window.newest(count)
        inputs, classes = self._window_inputs, window.rows.classes[places]
        ids = window.priorities[places]
        if self._absent is not None:
            inputs = np.concatenate((inputs, self._absent.rows))
            classes = np.concatenate((classes, self._absent.classes))
            ids = np.concatenate((ids, self._absent.ids))
        self.near = Neighbours.of(inputs, classes, ids) if len(classes) else None

    def refresh_inputs(self, reservoir: Reservoir, window: Window) -> None:
        """Where inputs are standardised anew: read all kept rows again."""
        if "near" in self.members:
            self._refresh_inputs(reservoir, window)

    def _refresh_inputs(self, reservoir: Reservoir, window: Window) -> None:
        if "near" not in self.members:
            return
        places = window.newest(min(NEAR_ROWS, len(window)))
        self._window_inputs = self.inputs(window.rows.dense[places].cpu().numpy())
        if self.far is not None:
            self._take_far(reservoir)
        self._take_absent(reservoir)
        self._join_near(window)

    def _take_far(self, reservoir: Reservoir) -> None:
        self._far_at = self.attendance.num_events
        width = self.inputs.width
        most = min(FAR_NUMBERS // (width + 8), FAR_NUMBERS_IN_FILE // width)
        slots = np.flatnonzero(reservoir.slot_classes >= 0)
        if len(slots) > most:
            counts = np.bincount(reservoir.slot_classes[slots])
            shelves = Shelves()
            shelves.sort(reservoir.slot_classes, reservoir.priorities, len(counts))
            slots = shelves.lowest(np.full(len(counts), max(1, largest_quota(counts, most, most))))[:most]
        self.far = self._neighbours_at(slots, reservoir)

    def _take_absent(self, reservoir: Reservoir) -> None:
        self._absent_at = self.attendance.num_events
        absences = self.attendance.absences[: self.shelves.num_classes]
        absent = absences > 0
        self._absent = None
        if absent.any():
            each = np.where(absent, max(1, NEAR_ROWS // int(absent.sum())), 0)
            each = np.concatenate((each, np.zeros(self.shelves.num_classes - len(each), dtype=np.int64)))
            slots = self.shelves.lowest(each)[:NEAR_ROWS]
            slots = slots[reservoir.slot_classes[slots] >= 0]
            self._absent = self._neighbours_at(slots, reservoir)

    def _neighbours_at(self, slots: Int64s, reservoir: Reservoir) -> Neighbours | None:
        if not len(slots):
            return None
        inputs = self.inputs(reservoir.dense_at(slots))
        return Neighbours.of(inputs, reservoir.slot_classes[slots], reservoir.priorities[slots].copy())

    def _step_aside(self, members: tuple[str, ...], num_classes: int) -> None:
        log.info("heads step aside", heads=", ".join(members), classes=num_classes)
        places = np.array([place for place, member in enumerate(self.members) if member not in members])
        self.members = tuple(member for member in self.members if member not in members)
        self.mixture.keep(places)

    # -- sleeping ------------------------------------------------------------------------------------------------

    def copies_of(self, label: int, rows: Float64s, weights: Float64s) -> dict[str, Array]:
        """What a packet holds of a class, by dotted name; `rows` [n, d] with `weights` are those kept of it."""
        arrays: dict[str, Array] = {}
        if self.analytic is not None:
            packet = self.analytic.sums_of(label)
            arrays |= {"analytic.count": np.array([packet.count]), "analytic.sums": packet.sums}
            if len(rows):
                spread = Spread.of(self.analytic.features(rows), weights)
                arrays |= {f"analytic.{name}": array for name, array in spread.state().items()}
        if self.forgetting is not None:
            count, mean = self.forgetting.mean_of(label)
            arrays |= {"forgetting.count": np.array([count]), "forgetting.mean": mean}
        return arrays

    def put_to_sleep(self, labels: Int64s, reservoir: Reservoir, window: Window) -> None:
        """Take classes out of all that is learnt; their rows are out of `reservoir` and `window` already."""
        if self.analytic is not None:
            for label in labels.tolist():
                self.analytic.take_out(label)
        if self.forgetting is not None:
            self.forgetting.drop(labels)
        if self.exceptions is not None:
            self.exceptions.drop(labels.tolist())
        self.attendance.fall_asleep(labels)
        self.rows_left(reservoir, window)

    def wake(self, label: int, arrays: Mapping[str, Array], *, slept_events: int, with_scatter: bool) -> None:
        """Put back what `copies_of` gave; `with_scatter` where G does not hold the class's rows. Call `settle` after.

        `arrays` must fit: see `fits`.
        """
        if self.analytic is not None:
            packet = class_sums(arrays)
            if with_scatter and packet.count > 0:
                self.analytic.add_scatter(
                    _spread(arrays).scatter(packet.count, packet.sums[: self.analytic.features.size])
                )
            self.analytic.put_back(label, packet)
        if self.forgetting is not None and "forgetting.mean" in arrays:
            self.forgetting.put_back(
                label, float(arrays["forgetting.count"][0]), arrays["forgetting.mean"].astype(np.float64)
            )
        self.attendance.wake(label, slept_events)

    def know_from(self, label: int, rows: Float64s, count: float) -> None:
        """Know a class from rows [n, d] that are like `count` of its own. Call `settle` after."""
        classes = np.full(len(rows), label)
        if self.analytic is not None:
            self.analytic.learn(rows, classes, np.full(len(rows), count / len(rows)))
        if self.forgetting is not None:
            self.forgetting.put_back(label, min(count, 1 / (1 - FADING)), rows.mean(axis=0))
        self.attendance.wake(label, self.attendance.num_events)

    def rows_left(self, reservoir: Reservoir, window: Window) -> None:
        """Follow kept rows that left, solve and sort again."""
        self._refresh_inputs(reservoir, window)
        self.settle(reservoir)

    # -- surviving -------------------------------------------------------------------------------------------------

    def state(self) -> dict[str, Array]:
        """Copies of all that must survive, by dotted name; `members` are in the JSON part."""
        state: dict[str, Array] = {
            "inputs.mean": self.inputs.mean.copy(),
            "inputs.inverse_deviation": self.inputs.inverse_deviation.copy(),
            "window_inputs": self._window_inputs.copy(),
            "held.slots": self._held_slots.copy(),
            "held.classes": self._held_classes.copy(),
            "held.priorities": self._held_priorities.copy(),
            "held.scores": self._held_scores.copy(),
            "shelves.slots": self.shelves.slots.copy(),
            "shelves.starts": self.shelves.starts.copy(),
            "shelves.num_held": self.shelves.num_held.copy(),
            "shelves.thresholds": self.shelves.thresholds.copy(),
            "clocks": np.array(
                [
                    self.inputs.taken_at,
                    self._far_at,
                    self._absent_at,
                    self._solved_at,
                    self._solved_classes,
                    self.urgent_until,
                ],
                dtype=np.int64,
            ),
            "owed": np.array([self._owed]),
        }
        for prefix, part in self._stateful().items():
            state |= {f"{prefix}.{name}": array for name, array in part.state().items()}
        for prefix, rows in (("far", self.far), ("absent", self._absent)):
            if rows is not None:
                state |= {f"{prefix}.{name}": array for name, array in _neighbour_arrays(rows).items()}
        return state

    def load(self, arrays: Mapping[str, Array], members: tuple[str, ...], window: Window) -> None:
        """Take up the values of `state()` of an ensemble with these members."""
        if set(members) > set(self.members) or not set(members) <= set(self.members):
            raise ValueError(f"the members are {', '.join(members)}, not {', '.join(self.members)}")
        if "forgetting" not in members:
            self.forgetting = None
        self.members = members
        self.inputs.mean = arrays["inputs.mean"].astype(np.float64)
        self.inputs.inverse_deviation = arrays["inputs.inverse_deviation"].astype(np.float64)
        self._window_inputs = arrays["window_inputs"].astype(np.float64)
        self._held_slots = arrays["held.slots"].astype(np.int64)
        self._held_classes = arrays["held.classes"].astype(np.int64)
        self._held_priorities = arrays["held.priorities"].astype(np.uint64)
        self._held_scores = arrays["held.scores"].astype(np.float64)
        self.shelves.slots = arrays["shelves.slots"].astype(np.int64)
        self.shelves.starts = arrays["shelves.starts"].astype(np.int64)
        self.shelves.num_held = arrays["shelves.num_held"].astype(np.int64)
        self.shelves.thresholds = arrays["shelves.thresholds"].astype(np.uint64)
        clocks = [int(value) for value in arrays["clocks"].astype(np.int64)]
        self.inputs.taken_at, self._far_at, self._absent_at = clocks[:3]
        self._solved_at, self._solved_classes, self.urgent_until = clocks[3:]
        self._owed = float(arrays["owed"].astype(np.float64)[0])
        for prefix, part in self._stateful().items():
            part.load(under(f"{prefix}.", arrays))
        self.far = _neighbours_from(under("far.", arrays))
        self._absent = _neighbours_from(under("absent.", arrays))
        if "near" in self.members:
            self._join_near(window)

    def _stateful(self) -> "dict[str, _Stateful]":
        parts: dict[str, _Stateful] = {
            "attendance": self.attendance,
            "alarm": self.alarm,
            "mixture": self.mixture,
        }
        if self.analytic is not None:
            parts["analytic"] = self.analytic
        if self.forgetting is not None:
            parts["forgetting"] = self.forgetting
        if self.exceptions is not None:
            parts["exceptions"] = self.exceptions
        return parts


_Stateful = Attendance | Alarm | Mixture | AnalyticHead | ForgettingHead | Exceptions


def _neighbour_arrays(rows: Neighbours) -> dict[str, Array]:
    return {"rows": rows.rows.astype(np.float32), "classes": rows.classes.copy(), "ids": rows.ids.copy()}


def _neighbours_from(arrays: Mapping[str, Array]) -> Neighbours | None:
    if not arrays:
        return None
    return Neighbours.of(
        arrays["rows"].astype(np.float64), arrays["classes"].astype(np.int64), arrays["ids"].astype(np.uint64)
    )


def class_sums(arrays: Mapping[str, Array]) -> ClassSums:
    """The part of `copies_of` that is the analytic head's."""
    return ClassSums(count=float(arrays["analytic.count"][0]), sums=arrays["analytic.sums"].astype(np.float64))


def _spread(arrays: Mapping[str, Array]) -> Spread:
    return Spread(
        factor=arrays["analytic.factor"].astype(np.float16), remainder=arrays["analytic.remainder"].astype(np.float32)
    )
