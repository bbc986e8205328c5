"""The intake process, a child of the trainer's: wiring only. Reads the label topic, decodes, and sends dead letters.

It has no say: it is told where to start, reads on as the trainer takes its micro-batches, and ends with the trainer.
"""

import gc
import os
import signal
import sys
from collections.abc import Callable
from contextlib import ExitStack

import numpy as np
import structlog

from penstock import failpoints
from penstock.adapters.intake_process.frames import FrameWriter
from penstock.adapters.intake_process.messages import Start
from penstock.adapters.intake_process.server import FULL_AHEAD, Commands, IntakeServer, Readings, say_failed
from penstock.adapters.kafka.dead_letters import DeadLetters
from penstock.adapters.kafka.label_source import LabelSource
from penstock.adapters.kafka.prediction_source import KafkaPredictionSource
from penstock.adapters.kafka.topic_names import TopicNames
from penstock.clock import SystemClock
from penstock.errors import StopError, UnavailableError
from penstock.features import FeatureSchema
from penstock.flow import Offsets
from penstock.intake.intake import Intake
from penstock.intake.late_labels import LateLabels
from penstock.intake.repeated_events import RepeatedEvents
from penstock.processes import logs
from penstock.wire.decoder import EventDecoder
from penstock.wire.warm_up import warm_up

COMMAND = (sys.executable, "-m", "penstock.processes.intake")
RETRY_SECONDS = 1.0

log = structlog.get_logger(__name__)


def run(acknowledgements: int) -> None:
    """Serve the trainer at the other end of standard input and output."""
    frames = FrameWriter(_own_output())
    commands = Commands(sys.stdin.fileno())
    with ExitStack() as resources:
        try:
            warm_up()
            start = commands.start()
            failpoints.arm(start.failpoints)
            server = _assembled(start, commands, frames, acknowledgements, resources)
            gc.freeze()
            server.serve()
        except EOFError:
            return
        except StopError as error:
            say_failed(frames, error)


def _own_output() -> int:
    """Standard output for frames alone: what anything prints goes to standard error."""
    output = os.dup(sys.stdout.fileno())
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    return output


def _assembled(
    start: Start, commands: Commands, frames: FrameWriter, acknowledgements: int, resources: ExitStack
) -> IntakeServer:
    schema, topics = FeatureSchema(features=start.features), TopicNames(start.model)
    source = LabelSource(
        start.kafka,
        topics.labels,
        group_id=f"penstock.{start.model}",
        new_partitions="read" if start.intake.max_age_seconds > 0 else "offer",
    )
    resources.callback(source.close)
    _patiently(lambda: source.start(Offsets(next=start.offsets)), commands)
    late_labels = _late_labels(start, commands, resources)
    letters = DeadLetters(start.kafka, topics.dead_letters)
    resources.callback(letters.close)
    readings = Readings()
    window = start.intake.dedupe_window_events
    decoder, clock = EventDecoder(schema, keeps_event_ids=window > 0), SystemClock()
    return IntakeServer(
        commands=commands,
        frames=frames,
        acknowledgements=acknowledgements,
        intake=Intake(
            source,
            letters,
            decoder,
            start.intake,
            clock,
            readings,
            step=start.step,
            offsets=Offsets(next=start.offsets),
            ahead=FULL_AHEAD,
            late_labels=late_labels,
            repeated=RepeatedEvents(window, np.frombuffer(start.seen, dtype=np.uint64), readings) if window else None,
            num_classes=start.num_classes,
            max_classes=start.max_classes,
        ),
        source=source,
        letters=letters,
        readings=readings,
    )


def _late_labels(start: Start, commands: Commands, resources: ExitStack) -> LateLabels | None:
    """What joins labels to logged predictions; None where predictions are not logged."""
    if start.read_until_ms is None:
        return None
    source = KafkaPredictionSource(start.kafka, TopicNames(start.model).predictions)
    resources.callback(source.close)
    _patiently(source.start, commands)
    return LateLabels(source, start.intake.late_labels, SystemClock(), read_until_ms=start.read_until_ms)


def _patiently(attempt: Callable[[], None], commands: Commands) -> None:
    """Try until the broker answers; says so while it waits.

    Raises:
        EOFError: the trainer has gone.
    """
    while True:
        try:
            return attempt()
        except UnavailableError as error:
            log.warning("waiting", reason=str(error))
            for _ in commands.heard(RETRY_SECONDS):  # at most offsets to commit, which lag tools can do without
                pass


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # it ends with the trainer, which alone is told to stop
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    logs.configure()
    run(int(sys.argv[1]))
