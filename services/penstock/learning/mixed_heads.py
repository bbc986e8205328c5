"""Learning with several heads: predict, score, watch, and only then learn; the order is what keeps scores honest."""

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from penstock.flow import Alarm
from penstock.learning.config import TrainingConfig
from penstock.learning.descending import descend, num_steps_for
from penstock.learning.heads.answer import Answer
from penstock.learning.heads.ensemble import URGENT_STEPS, Ensemble
from penstock.learning.heads.fresh import FreshRows
from penstock.learning.heads.slices import BUSY_ROWS
from penstock.learning.history import Scale
from penstock.learning.lesson import Scored, Slice, asked_of, scored
from penstock.learning.parts import LearnerParts
from penstock.learning.train_rows import TrainRows, joined
from penstock.replay.config import ReplayConfig

Int64s = npt.NDArray[np.int64]
Float64s = npt.NDArray[np.float64]

ROWS_WITH_ONE = 31
"""Drawn into a step on one fresh row alone."""


class MixedHeads:
    """Works on `parts`, which it does not own."""

    def __init__(self, parts: LearnerParts, training: TrainingConfig, replay: ReplayConfig) -> None:
        assert parts.ensemble is not None
        self._parts = parts
        self._ensemble: Ensemble = parts.ensemble
        self._training, self._replay = training, replay

    def learn(self, rows: Slice) -> Scored:
        """One slice."""
        parts, ensemble = self._parts, self._ensemble
        fresh = self._fresh(rows)
        asked = asked_of(len(fresh.classes), rows.step)  # rows not asked are compared with the linear head alone
        answer = ensemble.answer(parts.ledger.live[: rows.num_known])
        found, alarm = self._ask(answer, rows, fresh, asked)
        parts.imprint(rows.fresh, rows.num_known)
        ensemble.grow(len(parts.network.head.live_rows))
        is_held = ensemble.shelves.is_held(fresh.classes, fresh.priorities)
        ensemble.learn(fresh, is_held)
        ensemble.attendance.saw(fresh.classes)
        put_away = parts.as_put_away(rows.fresh)
        times = parts.reservoir.add(put_away, rows.priorities)
        parts.window.add(put_away, rows.priorities, times)
        ensemble.settle_when_due(fresh, parts.reservoir)
        ensemble.remember(fresh, parts.reservoir, parts.window)
        loss = self._descend(rows, is_held, fresh, asked) if "linear" in ensemble.members else 0.0
        return replace(found, loss=loss, alarm=alarm)

    def _fresh(self, rows: Slice) -> FreshRows:
        ensemble, fresh = self._ensemble, rows.fresh
        if ensemble.inputs.follow(self._parts.moments):
            self._rescale()
        encoded = fresh.encoded
        return FreshRows(
            encoded=encoded,
            inputs=ensemble.inputs(encoded),
            keys_of=ensemble.keys_of,
            classes=fresh.classes,
            weights=fresh.weights,
            priorities=rows.priorities,
        )

    def _rescale(self) -> None:
        """The heads' inputs are standardised anew."""
        parts, ensemble = self._parts, self._ensemble
        parts.history.rescaled(
            Scale(mean=ensemble.inputs.mean, inverse_deviation=ensemble.inputs.inverse_deviation),
            num_offered=parts.reservoir.num_offered,
        )
        if ensemble.rescaled(parts.reservoir, parts.window):
            parts.history.read_again()
            ensemble.rows_left(parts.reservoir, parts.window)

    def _ask(self, answer: Answer, rows: Slice, fresh: FreshRows, asked: Int64s) -> tuple[Scored, Alarm | None]:
        """Predict the rows at `asked` and let the mixture learn from how that went."""
        parts, ensemble, labels = self._parts, self._ensemble, fresh.classes[asked]
        if not answer.num_classes:
            nothing = np.zeros((len(asked), 0))
            if ensemble.exceptions is not None:
                none_wrong = np.zeros(len(fresh.classes), dtype=np.bool_)
                ensemble.exceptions.learn(fresh.keys, fresh.classes, none_wrong, fresh.priorities)
            return scored(fresh.classes, asked, nothing, 0.0), None
        some = fresh if len(asked) == len(fresh.classes) else fresh.at(asked)
        linear = self._linear(rows.fresh if some is fresh else rows.fresh.at(asked))
        predictions = ensemble.predict(answer, some, linear)
        with np.errstate(divide="ignore"):
            found = scored(fresh.classes, asked, np.log(predictions.probabilities), 0.0)
        ensemble.score(answer, predictions, labels, len(fresh.classes), parts.reservoir, self._linear_at, parts.draws)
        if ensemble.exceptions is not None:
            ensemble.exceptions.learn(some.keys, labels, ~found.hits, some.priorities)
        return found, self._watch(answer, rows, found)

    def _watch(self, answer: Answer, rows: Slice, found: Scored) -> Alarm | None:
        """Where the meaning of labels has changed: give up what was learnt of those classes before."""
        parts, ensemble = self._parts, self._ensemble
        events = ensemble.attendance.num_events + found.rows
        classes, began = ensemble.watch(answer, found.labels, found.predicted, events, parts.reservoir, self._linear_at)
        if not len(classes):
            return None
        before, window = len(parts.reservoir), parts.window
        since = max(0, ensemble.attendance.num_events - began)
        parts.reservoir.drop_classes(classes)
        theirs = window.newest(len(window))
        theirs = theirs[np.isin(window.rows.classes[theirs], classes)]
        is_new = np.isin(theirs, window.newest(since))
        again = theirs[is_new]
        parts.reservoir.add(window.rows.at(again), window.priorities[again])
        window.drop(theirs[~is_new])
        parts.history.rebuilt(parts.kept_priorities(), parts.sleepers.labels)
        ensemble.begin_anew(parts.reservoir, parts.window)
        parts.sleepers.are_out_of_sums()
        return Alarm(
            classes=tuple(parts.ledger.names[label] for label in classes),
            step=rows.step,
            began_at=began,
            rows_dropped=before - len(parts.reservoir),
        )

    def _descend(self, rows: Slice, is_held: npt.NDArray[np.bool_], all_rows: FreshRows, asked: Int64s) -> float:
        parts, ensemble = self._parts, self._ensemble
        free = np.flatnonzero(~is_held)
        fresh = rows.fresh.at(free) if is_held.any() else rows.fresh
        num_fresh = len(fresh.classes)
        wanted = min(self._replay.rows_per_step, ROWS_WITH_ONE) if num_fresh <= 1 else self._replay.rows_per_step
        is_busy = rows.num_in_batch > BUSY_ROWS
        num_steps = num_steps_for(self._training.inner_steps, num_fresh, wanted, is_busy=is_busy)
        if ensemble.attendance.num_events < ensemble.urgent_until:
            num_steps *= URGENT_STEPS
        drawn = self._draw(wanted, num_steps) if wanted else None
        if not num_fresh and drawn is None:
            return 0.0
        logits, loss = descend(parts, fresh, drawn, num_steps)
        if len(asked) < len(all_rows.classes) and ensemble.exceptions is not None:
            is_wrong = np.zeros(len(all_rows.classes), dtype=np.bool_)
            is_wrong[free] = logits.cpu().numpy().argmax(axis=1) != fresh.classes
            is_wrong[asked] = False
            if is_wrong.any():
                wrong = all_rows.at(is_wrong.nonzero()[0])
                all_wrong = np.ones(len(wrong.classes), dtype=np.bool_)
                ensemble.exceptions.learn(wrong.keys, wrong.classes, all_wrong, wrong.priorities)
        return loss

    def _draw(self, each: int, num_steps: int) -> TrainRows | None:
        """Rows of absent classes as far as classes are absent, of the newest rows otherwise."""
        parts, ensemble = self._parts, self._ensemble
        count = each * num_steps
        absent = ensemble.shelves.draw(
            ensemble.attendance.absences, round(count * ensemble.attendance.absence), parts.draws
        )
        absent = absent[parts.reservoir.slot_classes[absent] >= 0]
        newest = parts.window.newest(len(parts.window))
        window = parts.window
        free = newest[~ensemble.shelves.is_held(window.rows.classes[newest], window.priorities[newest])]
        wanted = count - len(absent)
        if not len(free):
            if not len(absent):
                return None
            return _dealt(parts.reservoir.at(absent), parts.draws, num_steps)
        recent = free[parts.draws.integers(0, len(free), wanted)]
        rows = parts.window.rows.at(recent)
        return _dealt(joined(rows, parts.reservoir.at(absent)), parts.draws, num_steps) if len(absent) else rows

    def _linear(self, fresh: TrainRows) -> Float64s | None:
        if "linear" not in self._ensemble.members:
            return None
        logits = self._parts.descent.served.logits(fresh.dense, fresh.tokens)
        return logits.cpu().numpy().astype(np.float64)

    def _linear_at(self, slots: Int64s) -> Float64s | None:
        return self._linear(self._parts.reservoir.at(slots))


def _dealt(rows: TrainRows, generator: np.random.Generator, num_steps: int) -> TrainRows:
    """In random order, and a multiple of the steps."""
    order = generator.permutation(len(rows.classes))
    return rows.at(order[: len(order) // num_steps * num_steps])
