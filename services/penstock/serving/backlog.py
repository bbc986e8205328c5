"""What of the update topic is worth trying: records fold, in log order, to the newest few candidates.

A claim of a higher epoch fences every update of a lower epoch that comes after it in the log; an update of a lower
epoch that came before it is the last word of the trainer before, and good.
"""

from dataclasses import dataclass
from typing import Final

from penstock.flow import Claim, LogRecord, ModelUpdate, Recorded, Withdrawal

KEPT: Final = 4
"""Candidates kept at once: the newest, and some to fall back to when it turns out bad.

Of deltas and whole weights each, since deltas are of no use where their base cannot be had.
"""


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """An update that may be served. `sequence` orders it among all records read; `arrived_seconds` is monotonic."""

    update: ModelUpdate
    sequence: int
    arrived_seconds: float

    @property
    def place(self) -> tuple[int, int]:
        """Epoch and version: what orders updates."""
        return self.update.epoch, self.update.version


class Backlog:
    """Pure bookkeeping of one reader of the update topic."""

    def __init__(self, model: str) -> None:
        self._model = model
        self._sequence = 0
        self._withdrawn_at = 0
        self._served_at = 0
        self._served_place = (0, 0)
        self._served_sha256 = ""
        self._candidates: list[Candidate] = []
        self.highest_epoch = 0
        """Of all claims and updates read so far."""

    @property
    def withdrawn(self) -> bool:
        """True if the model was withdrawn after the update that is served (or before any)."""
        return self._withdrawn_at > self._served_at

    @property
    def candidates(self) -> tuple[Candidate, ...]:
        """Newest first; each newer than what is served."""
        return tuple(self._candidates)

    def add(self, record: LogRecord, *, arrived_seconds: float) -> str | None:
        """Take in the next record of the log; returns the reason if an update was dropped for one."""
        self._sequence += 1
        if isinstance(record, Claim):
            self.highest_epoch = max(self.highest_epoch, record.epoch)
            return None
        if isinstance(record, Recorded):
            return None
        if isinstance(record, Withdrawal):
            if record.model == self._model:
                self._withdrawn_at = self._sequence
            return None
        candidate = Candidate(update=record, sequence=self._sequence, arrived_seconds=arrived_seconds)
        reason = self._reason_against(candidate)
        if reason is None:
            self.highest_epoch = max(self.highest_epoch, record.epoch)
            self._candidates.append(candidate)
            self._candidates.sort(key=lambda one: one.place, reverse=True)
            alike = [one for one in self._candidates if (one.update.delta is None) == (record.delta is None)]
            if len(alike) > KEPT:
                self._candidates.remove(alike[-1])
                return "skipped"
        return reason

    def served(self, candidate: Candidate) -> int:
        """The candidate is served now; returns how many older ones are given up with that."""
        self._served_at = candidate.sequence
        self._served_place = candidate.place
        self._served_sha256 = candidate.update.sha256
        newer = [one for one in self._candidates if one.place > candidate.place]
        given_up = len(self._candidates) - len(newer) - 1
        self._candidates = newer
        return given_up

    def refused(self, candidate: Candidate) -> None:
        """The candidate is bad for good."""
        self._candidates.remove(candidate)

    def _reason_against(self, candidate: Candidate) -> str | None:
        update = candidate.update
        if update.model != self._model:
            return "model"
        if update.epoch < self.highest_epoch:
            return "fenced"
        if candidate.place == self._served_place or any(one.place == candidate.place for one in self._candidates):
            return "repeated"
        if candidate.place < self._served_place or update.version <= self._served_place[1]:
            return "older"
        return None
