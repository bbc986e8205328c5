"""The intake process's end: micro-batches out while the trainer takes them, its commands in between."""

import os
import select
from collections.abc import Iterator
from typing import Protocol

import msgspec

from penstock.adapters.intake_process.controls import sent
from penstock.adapters.intake_process.frames import COUNTS, FrameWriter
from penstock.adapters.intake_process.messages import (
    Closed,
    Command,
    Commit,
    Failed,
    Quiet,
    Reading,
    Refuse,
    Saved,
    Start,
    Take,
)
from penstock.errors import StopError
from penstock.flow import EventBatch, Offsets
from penstock.intake.intake import Intake
from penstock.telemetry import MetricName
from penstock.trainer.ports import OffsetLog
from penstock.wire.columns import TENANT

AHEAD = 2
"""Micro-batches sent that the trainer has not taken: one ready while one is learnt, one more for what jitters.

What comes in beyond that joins the open one, so a trainer that is slow sees larger micro-batches, not older ones.
"""
FULL_AHEAD = 8
"""The same while they are full: behind such a one nothing more can join, so nothing is older for being sent."""
IDLE_SECONDS = 0.25
LETTERS_SECONDS = 0.01
"""How long one look for messages takes while dead letters are on their way."""


class LettersOnTheirWay(Protocol):
    """Dead letters as counted by who sends them."""

    @property
    def sent(self) -> int:
        """How many were ever sent."""
        ...

    @property
    def acknowledged(self) -> int:
        """Up to which one, the first being 1, all are acknowledged."""
        ...

    def wait_acknowledged(self, timeout_seconds: float) -> bool:
        """Take in acknowledgements; True once there are all."""
        ...


class Readings:
    """`Telemetry` that the trainer reports in our place."""

    def __init__(self) -> None:
        self._taken: list[Reading] = []

    def count(self, name: MetricName, amount: float = 1, /, **labels: str) -> None:
        """As `Telemetry.count`."""
        self._taken.append(("count", name, amount, labels))

    def gauge(self, name: MetricName, value: float, /, **labels: str) -> None:
        """As `Telemetry.gauge`."""
        self._taken.append(("gauge", name, value, labels))

    def observe(self, name: MetricName, value: float, /, **labels: str) -> None:
        """As `Telemetry.observe`."""
        self._taken.append(("observe", name, value, labels))

    def identify(self, *, model: str, version: int, sha256: str) -> None:
        """Nothing is served here."""
        raise NotImplementedError(f"the intake does not identify weights ({model}, {version}, {sha256})")

    def taken(self) -> list[Reading]:
        """All since the last call."""
        taken, self._taken = self._taken, []
        return taken


class Commands:
    """The trainer's commands as they come in; at the end of the pipe the trainer has gone."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._rest = b""
        self._decode = msgspec.json.Decoder(Command).decode

    def heard(self, timeout_seconds: float) -> Iterator[Command]:
        """Those that have come, waiting for the first.

        Raises:
            EOFError: the trainer has gone.
        """
        if select.select([self._descriptor], [], [], timeout_seconds)[0]:
            content = os.read(self._descriptor, 65_536)
            if not content:
                raise EOFError
            *lines, self._rest = (self._rest + content).split(b"\n")
            yield from map(self._decode, lines)

    def start(self) -> Start:
        """The first command.

        Raises:
            EOFError: the trainer has gone.
        """
        while True:
            for command in self.heard(IDLE_SECONDS):
                assert isinstance(command, Start)  # nothing is said before
                return command


class IntakeServer:
    """Serves one trainer."""

    def __init__(
        self,
        *,
        commands: Commands,
        frames: FrameWriter,
        acknowledgements: int,
        intake: Intake,
        source: OffsetLog,
        letters: LettersOnTheirWay,
        readings: Readings,
    ) -> None:
        """`acknowledgements` is the descriptor on which counts are written; `intake` is `FULL_AHEAD` ahead."""
        os.set_blocking(acknowledgements, False)
        self._commands = commands
        self._frames = frames
        self._acknowledgements = acknowledgements
        self._intake = intake
        self._source = source
        self._letters = letters
        self._readings = readings
        self._not_taken = 0
        self._last_was_full = False
        self._refusals = 0
        self._letters_of_refusals = 0
        self._told = (0, 0)
        self._told_ends = Offsets()

    def serve(self) -> None:
        """Until the trainer has gone, or the stream must not be read on."""
        try:
            while True:
                self._obey()
                if self._may_send:
                    self._send(self._intake.next_batch(self._patience_seconds))
                self._tell_acknowledged()
        except (EOFError, BrokenPipeError):
            return

    @property
    def _may_send(self) -> bool:
        return self._not_taken < (FULL_AHEAD if self._last_was_full else AHEAD)

    @property
    def _patience_seconds(self) -> float:
        return LETTERS_SECONDS if self._letters.acknowledged < self._letters.sent else IDLE_SECONDS

    def _obey(self) -> None:
        has_more = self._may_send and not self._intake.is_waiting
        for command in self._commands.heard(0 if has_more else self._patience_seconds):
            if isinstance(command, Take):
                self._not_taken -= 1
            elif isinstance(command, Refuse):
                self._intake.refuse(command.refusals)
                self._refusals += len(command.refusals)
                self._letters_of_refusals = self._letters.sent
                if command.awaited_word:
                    self._intake.judged()
            elif isinstance(command, Saved):
                self._intake.saved(Offsets(next=command.offsets))
            elif isinstance(command, Commit):
                self._source.commit(Offsets(next=command.offsets))

    def _send(self, batch: EventBatch | None) -> None:
        ends, readings = self._source.end_offsets(), self._readings.taken()
        if batch is not None:
            self._not_taken += 1
            self._last_was_full = batch.closed_by == "size"
            word = Closed(
                offsets=batch.offsets.next,
                closed_by=batch.closed_by,
                age_seconds=batch.age_seconds,
                read_until_ms=batch.read_until_ms,
                letters=self._letters.sent,
                controls=tuple(map(sent, batch.controls)),
                has_tenants=TENANT in batch.events.schema.names,
                ends=ends.next,
                readings=readings,
                judged=batch.judged,
                seen=batch.seen.tobytes(),
                awaits_word=batch.awaits_word,
            )
            self._frames.write(word, batch.events.serialize())
        elif readings or ends != self._told_ends:
            self._frames.write(Quiet(ends=ends.next, readings=readings))
        self._told_ends = ends

    def _tell_acknowledged(self) -> None:
        if self._told == (self._letters.sent, self._refusals):
            return
        self._letters.wait_acknowledged(0)
        counts = self._counts()
        if counts != self._told:
            try:
                os.write(self._acknowledgements, COUNTS.pack(*counts))
            except BlockingIOError:
                return  # the pipe is full of older counts; told once they are read
            self._told = counts

    def _counts(self) -> tuple[int, int]:
        """Letters acknowledged; and the refusals, as far as their letters are."""
        acknowledged = self._letters.acknowledged
        return acknowledged, self._refusals if acknowledged >= self._letters_of_refusals else self._told[1]


def say_failed(frames: FrameWriter, error: StopError) -> None:
    """The last word: why the stream must not be read on."""
    try:
        frames.write(Failed(error=type(error).__name__, sentence=str(error)))
    except BrokenPipeError:
        return
