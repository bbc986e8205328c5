"""All that watches the stream: scores, detectors, confusion, history; one value that a checkpoint carries whole."""

import copy
from collections.abc import Mapping, Sequence
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from penstock.flow import Alarm, Array, DriftAlarm, Json, Watched
from penstock.learning.tensors import under
from penstock.learning.watching.adwin import Adwin, Change
from penstock.learning.watching.alarms import Alarms
from penstock.learning.watching.class_scores import ClassScores
from penstock.learning.watching.conflict import verdict
from penstock.learning.watching.confusion import Confusion
from penstock.learning.watching.details import Details, noted
from penstock.learning.watching.hddm import HddmA
from penstock.learning.watching.history import History
from penstock.learning.watching.judged import JudgedVersions
from penstock.learning.watching.observed import Float64s, Int64s, ObservedRows
from penstock.learning.watching.scores import Kappas, StreamScores

WEIGHT = "weight/"
"""Begins the names of figures that are weights of heads in the mixture."""
SETTLED_ROWS = 512
SETTLED_MS = 1000
"""What is told by class, the early warning and the history take rows in once so many have come, or so much time, by
Kafka's timestamps, has passed: a dozen operations on arrays cost as much for one row as for hundreds."""
SAMPLED_ROWS = 256
SAMPLED_MS = 250
"""Where only a sample of a micro-batch is scored, because there is much to do, so many rows, or so much time, are
looked at together."""
JUDGED_ROWS = 256
"""An alarm is judged by the newer half of the first so many rows after it: the model has learnt a little by then."""
NAMED_IN_ALARM = 5
LEAST_LOSS = 0.1
"""Recall that a class must have lost of late to be named in an alarm, unless none has."""


class Watch:
    """Fed with rows as they were predicted before they were learnt; a pure function of them and of their batches.

    Errors on classes with fewer than 30 rows are not drift, they are news: the detectors do not see them.
    """

    def __init__(self, fading: float) -> None:
        self.events = 0
        """Learnt so far, whether scored or not."""
        self.scored = 0
        """Of them, those whose prediction was scored."""
        self.scores = StreamScores(fading)
        self.alarms = Alarms()
        self.judged = JudgedVersions()
        """Fed apart: late labels judge answers of long ago."""
        self._adwin = Adwin()
        self._details = Details(
            classes=ClassScores(fading),
            kappas=Kappas(fading),
            confusion=Confusion(fading),
            history=History(),
            early=HddmA(),
        )
        self._unseen: list[ObservedRows] = []
        self._seen_ms = 0
        self._waiting: list[ObservedRows] = []
        self._num_waiting = 0
        self._settled_ms = 0
        self._since_alarm: ObservedRows | None = None
        self._copied: Details | None = None

    def details(self) -> Details:
        """A copy that has taken in every row; it does not change any more, so whoever asks between rows shares it."""
        if self._copied is not None:
            return self._copied
        details = copy.deepcopy(self._details)
        if waiting := [*self._waiting, *self._unseen]:
            rows = ObservedRows.joined(waiting)
            details.take_in(rows, self._are_established(rows), self.events)
        self._copied = details
        return details

    def observe(
        self,
        rows: ObservedRows,
        *,
        num_events: int,
        class_names: Sequence[str],
        step: int,
        now_ms: int,
        label_changes: tuple[Alarm, ...] = (),
        figures: Mapping[str, float] | None = None,
    ) -> Watched:
        """Take in rows of one micro-batch.

        Args:
            rows: as they were predicted.
            num_events: learnt with this micro-batch, of which the rows may be a sample.
            class_names: by index.
            step: the micro-batch's number.
            now_ms: the Kafka timestamp of the newest event.
            label_changes: what the learner itself found of labels that mean something else now.
            figures: more to note in the history, such as the weights of heads.
        """
        self._copied = None
        self.events += num_events
        self.alarms.note(label_changes, now_ms)
        self._unseen.append(rows)
        num_unseen = sum(map(len, self._unseen))
        if len(rows) < num_events and num_unseen < SAMPLED_ROWS and now_ms < self._seen_ms + SAMPLED_MS:
            return Watched()
        rows, self._unseen, self._seen_ms = ObservedRows.joined(self._unseen), [], now_ms
        self.scored += len(rows)
        self.scores.update(rows)
        self._waiting.append(rows)
        self._num_waiting += len(rows)
        recovered, changes = self._detect(rows, now_ms)
        warnings = 0
        if changes or self._num_waiting >= SETTLED_ROWS or now_ms >= self._settled_ms + SETTLED_MS:
            warnings = self._settle(now_ms, figures or {})
        if self._since_alarm is not None:
            self._since_alarm = ObservedRows.joined((self._since_alarm, rows))
        raised = tuple(self._raise(change, class_names, step, now_ms) for change in changes)
        return Watched(raised=raised, recovered=recovered, warnings=warnings)

    @property
    def wants_judgement(self) -> bool:
        """True once enough rows have come since an alarm that nobody has judged."""
        return self._since_alarm is not None and len(self._since_alarm) >= JUDGED_ROWS

    @property
    def is_judging(self) -> bool:
        """True from an alarm on until it is judged."""
        return self._since_alarm is not None

    def judge(
        self, classes: Int64s, losses: Float64s, class_names: Sequence[str]
    ) -> tuple[tuple[DriftAlarm, ...], Int64s]:
        """Whether remembered rows contradict the new ones: `classes` [n] of long-term rows, and their `losses` now.

        To be called when it `wants_judgement`; returns the alarms judged, and the classes that are contradicted.
        """
        assert self._since_alarm is not None  # it wants judgement
        fresh, self._since_alarm = self._since_alarm, None
        found = verdict(
            remembered_classes=classes,
            remembered_losses=losses,
            fresh_classes=fresh.labels[JUDGED_ROWS // 2 :],
            fresh_losses=fresh.losses[JUDGED_ROWS // 2 :],
            num_classes=len(class_names),
        )
        expired = np.flatnonzero(found.expired)
        worst_first = expired[np.argsort(-found.conflict[expired], kind="stable")][:NAMED_IN_ALARM].tolist()
        judged = self.alarms.judge({class_names[index]: float(found.conflict[index]) for index in worst_first})
        return judged, expired

    def tensors(self) -> dict[str, Array]:
        """Copies of all arrays by dotted name."""
        owners = {"scores": self.scores, **{name: getattr(self._details, name) for name in _WITH_ARRAYS}}
        tensors = {f"{part}.{name}": array for part, owner in owners.items() for name, array in owner.tensors().items()}
        tensors |= {f"judged.{name}": array for name, array in self.judged.tensors().items()}
        for part, rows in (("waiting", self._waiting), ("unseen", self._unseen)):
            columns = ObservedRows.joined(rows).tensors() if rows else {}
            tensors |= {f"{part}.{name}": array for name, array in columns.items()}
        since_alarm = self._since_alarm.tensors() if self._since_alarm is not None else {}
        return tensors | {f"since_alarm.{name}": array for name, array in since_alarm.items()}

    def state(self) -> dict[str, Json]:
        """What is not an array, as JSON."""
        details = self._details
        return {
            "events": self.events,
            "scored": self.scored,
            "settled_ms": self._settled_ms,
            "seen_ms": self._seen_ms,
            "scores": self.scores.state(),
            "kappas": details.kappas.state(),
            "alarms": self.alarms.state(),
            "adwin": self._adwin.state(),
            "hddm_a": details.early.state(),
            "history": details.history.state(),
        }

    def restore(self, tensors: Mapping[str, Array], state: Mapping[str, Json]) -> None:
        """Go on, to the bit, from `tensors()` and `state()`. Raises `KeyError` for what is missing."""
        self._copied = None
        stored, details = cast(Mapping[str, Any], state), self._details
        self.events, self.scored, self._settled_ms = stored["events"], stored["scored"], stored["settled_ms"]
        self._seen_ms = stored["seen_ms"]
        self.scores.restore(under("scores.", tensors), stored["scores"])
        self.alarms.restore(stored["alarms"])
        self.judged.restore(under("judged.", tensors))
        self._adwin.restore(stored["adwin"])
        details.classes.restore(under("classes.", tensors))
        details.kappas.restore(under("kappas.", tensors), stored["kappas"])
        details.confusion.restore(under("confusion.", tensors))
        details.history.restore(under("history.", tensors), stored["history"])
        details.early.restore(stored["hddm_a"])
        waiting = under("waiting.", tensors)
        self._waiting = [ObservedRows.from_tensors(waiting)] if waiting else []
        self._num_waiting = sum(len(rows) for rows in self._waiting)
        unseen = under("unseen.", tensors)
        self._unseen = [ObservedRows.from_tensors(unseen)] if unseen else []
        since_alarm = under("since_alarm.", tensors)
        self._since_alarm = ObservedRows.from_tensors(since_alarm) if since_alarm else None

    def _detect(self, rows: ObservedRows, now_ms: int) -> tuple[tuple[DriftAlarm, ...], list[Change]]:
        """Returns the alarms recovered from, and the changes for the worse."""
        established = self._are_established(rows)
        errors = ~(rows.hits if established.all() else rows.hits[established])
        if not len(errors):
            return (), []
        recovered = self.alarms.follow(errors, event=self.events, now_ms=now_ms)
        return recovered, [change for change in self._adwin.update(errors) if change.after > change.before]

    def _are_established(self, rows: ObservedRows) -> npt.NDArray[np.bool_]:
        """[n]: rows of classes that were known when rows were last taken in by class."""
        known = self._details.classes.is_established
        if not len(known):
            return np.zeros(len(rows), dtype=np.bool_)
        within: npt.NDArray[np.bool_] = known.take(rows.labels, mode="clip")
        return within if int(rows.labels.max()) < len(known) else within & (rows.labels < len(known))

    def _settle(self, now_ms: int, figures: Mapping[str, float]) -> int:
        """Take in by class what waits; returns how many early warnings began."""
        details, rows = self._details, ObservedRows.joined(self._waiting)
        warnings = details.take_in(rows, self._are_established(rows), self.events)
        self._waiting, self._num_waiting, self._settled_ms = [], 0, now_ms
        if details.history.is_due(self.events):
            details.history.add(
                self.events,
                noted(self.scores, details, events=self.events, now_ms=now_ms) | dict(figures),
                details.classes.recall,
            )
        return warnings

    def _raise(self, change: Change, class_names: Sequence[str], step: int, now_ms: int) -> DriftAlarm:
        alarm = DriftAlarm(
            number=self.alarms.count + 1,
            at_ms=now_ms,
            at_event=self.events,
            at_step=step,
            before=change.before,
            after=change.after,
            num_after=change.num_after,
            classes=tuple(class_names[index] for index in self._losers(change.num_after)),
        )
        self.alarms.raise_(alarm)
        self._since_alarm = ObservedRows.empty()
        return alarm

    def _losers(self, num_after: int) -> list[int]:
        """Established classes among the events after a change that lost most recall of late, worst first."""
        classes = self._details.classes
        since = self.events - 2 * num_after * self.events / self.scored
        asked = np.flatnonzero(classes.is_established & (classes.last_event > since))
        lost = (classes.recall - classes.recent_recall)[asked]
        worst_first = np.argsort(-lost, kind="stable")[:NAMED_IN_ALARM].tolist()
        named = [place for place in worst_first if lost[place] >= max(LEAST_LOSS, lost[worst_first[0]] / 2)]
        return [int(asked[place]) for place in named or worst_first[:1]]


_WITH_ARRAYS = ("classes", "kappas", "confusion", "history")
