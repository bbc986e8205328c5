"""The trainer's end: the intake in a process of its own, whose decoding takes no time from learning.

A step is a hundred short operations; beside a busy Python thread each would wait for the interpreter's lock.
"""

import os
import select
import subprocess
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from penstock.adapters.intake_process.controls import received
from penstock.adapters.intake_process.frames import COUNTS, CommandWriter, FrameReader, enlarge
from penstock.adapters.intake_process.messages import (
    Closed,
    Commit,
    Failed,
    Reading,
    Refuse,
    Saved,
    Start,
    Take,
    Word,
)
from penstock.errors import ConfigurationError, IntakeEndedError, PoisonedStreamError, RetentionError, StopError
from penstock.features import FeatureSchema
from penstock.flow import ControlOutcome, EventBatch, Offsets, RefusedEvent
from penstock.intake.refusal import Refusal
from penstock.telemetry import Telemetry
from penstock.wire.columns import TENANT, batch_schema

STOPPING: dict[str, type[StopError]] = {
    error.__name__: error for error in (ConfigurationError, PoisonedStreamError, RetentionError)
}
CLOSE_SECONDS = 2.0
"""How long the process may take to leave the broker before it is killed."""


class IntakeProcess:
    """`BatchSource` for one thread; as `OffsetLog`, `Resumable` and `DeadLetterOutbox` for any one thread each.

    Args:
        command: what runs `server.serve` on its standard input and output, and on the descriptor that is appended.
        schema: the model's features.
        telemetry: where the process's readings go.
    """

    def __init__(self, command: Sequence[str], schema: FeatureSchema, telemetry: Telemetry) -> None:
        self._schema = batch_schema(schema)
        self._schema_with_tenants = self._schema.append(pa.field(TENANT, pa.string()))
        self._telemetry = telemetry
        self._acknowledgements, theirs = os.pipe()
        # In a session of its own, so that Ctrl-C on the terminal reaches the trainer alone.
        self._process = subprocess.Popen(
            [*command, str(theirs)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            pass_fds=[theirs],
            start_new_session=True,
        )
        os.close(theirs)
        assert self._process.stdin is not None  # both are pipes
        assert self._process.stdout is not None
        enlarge(self._process.stdout.fileno())
        self._reader = FrameReader(self._process.stdout.fileno())
        self._commands = CommandWriter(self._process.stdin.fileno())
        self._end_offsets = Offsets()  # replaced whole, for other threads
        self._letters = self._letters_acknowledged = 0
        self._refusals = self._refusals_acknowledged = 0
        self._awaits_word = False

    @property
    def pid(self) -> int:
        """Of the process."""
        return self._process.pid

    def start(self, start: Start) -> None:
        """Let it read; what is wrong with the topic is raised by `next_batch`."""
        self._commands.write(start)

    def next_batch(self, timeout_seconds: float) -> EventBatch | None:
        """As `trainer.ports.BatchSource.next_batch`.

        Raises:
            IntakeEndedError: the process was killed, or has failed.
        """
        deadline = time.monotonic() + timeout_seconds
        while self._arrives(self._reader.descriptor, deadline):
            frame = self._reader.read()
            if frame is None:
                raise self._ended()
            batch = self._heard(*frame)
            if batch is not None:
                self._commands.write(Take())
                return batch
        return None

    def refuse(self, refused: Sequence[ControlOutcome | RefusedEvent]) -> None:
        """As `trainer.ports.BatchSource.refuse`."""
        if refused or self._awaits_word:
            self._refusals += len(refused)
            refusals = tuple(map(Refusal.of, refused))
            self._commands.write(Refuse(refusals=refusals, awaited_word=self._awaits_word))
            self._awaits_word = False

    def commit(self, offsets: Offsets) -> None:
        """As `trainer.ports.OffsetLog.commit`; returns at once."""
        self._commands.write(Commit(offsets=offsets.next))

    def saved(self, offsets: Offsets) -> None:
        """As `trainer.ports.Resumable.saved`; returns at once."""
        self._commands.write(Saved(offsets=offsets.next))

    def end_offsets(self) -> Offsets:
        """As `trainer.ports.OffsetLog.end_offsets`."""
        return self._end_offsets

    def wait_acknowledged(self, timeout_seconds: float) -> bool:
        """True once every dead letter of the micro-batches returned so far is acknowledged; False at the timeout."""
        deadline, letters, refusals = time.monotonic() + timeout_seconds, self._letters, self._refusals
        while self._letters_acknowledged < letters or self._refusals_acknowledged < refusals:
            if not self._arrives(self._acknowledgements, deadline):
                return False
            counts = os.read(self._acknowledgements, 1024 * COUNTS.size)
            if not counts:  # the process has gone, which `next_batch` says
                time.sleep(max(deadline - time.monotonic(), 0.0))
                return False
            self._letters_acknowledged, self._refusals_acknowledged = COUNTS.unpack(counts[-COUNTS.size :])
        return True

    def close(self) -> None:
        """End the process: it leaves the broker, or is killed."""
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            pipe.close()
        try:
            self._process.wait(CLOSE_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        os.close(self._acknowledgements)

    def _heard(self, word: Word, body: bytearray) -> EventBatch | None:
        if isinstance(word, Failed):
            raise STOPPING.get(word.error, StopError)(word.sentence)
        self._end_offsets = Offsets(next=word.ends)
        self._take_down(word.readings)
        if not isinstance(word, Closed):
            return None
        self._letters = word.letters
        self._awaits_word = word.awaits_word
        schema = self._schema_with_tenants if word.has_tenants else self._schema
        events: Any = pa.ipc.read_record_batch(pa.py_buffer(body), schema)
        return EventBatch(
            events=events,
            offsets=Offsets(next=word.offsets),
            closed_by=word.closed_by,
            age_seconds=word.age_seconds,
            controls=tuple(map(received, word.controls)),
            read_until_ms=word.read_until_ms,
            judged=word.judged,
            seen=np.frombuffer(word.seen, dtype=np.uint64),
            awaits_word=word.awaits_word,
        )

    def _take_down(self, readings: list[Reading]) -> None:
        for kind, name, value, labels in readings:
            getattr(self._telemetry, kind)(name, value, **labels)

    def _arrives(self, descriptor: int, deadline: float) -> bool:
        """Until there is something to read, or the deadline has passed, send what waits to be sent."""
        while True:
            sending = [self._commands.descriptor] if self._commands.has_more else []
            readable, writable, _ = select.select([descriptor], sending, [], max(deadline - time.monotonic(), 0.0))
            if writable:
                self._commands.write_more()
            if readable or not writable:
                return bool(readable)

    def _ended(self) -> StopError:
        code = self._process.wait()
        how = f"by signal {-code}" if code < 0 else f"with exit code {code}"
        return IntakeEndedError(
            f"The intake process ended {how}; nothing is lost: start the trainer again, it goes on from its checkpoint."
        )
