"""START HERE: the trainer's loop. Take a micro-batch, learn it, report, and publish when it is time.

What waits for the outside happens elsewhere: fetching, decoding and dead letters in the intake's own process, disk and
update topic on the publisher's threads, MLflow on the recorder's. A step is a hundred short operations, and beside a
busy Python thread each of them would wait for the interpreter's lock; so nothing busy shares this process.
"""

from collections.abc import Iterator
from threading import Event

from penstock.clock import Clock
from penstock.flow import EventBatch, StepReport
from penstock.learning.learner import Learner
from penstock.telemetry import Telemetry
from penstock.trainer.ports import BatchSource, OffsetLog
from penstock.trainer.publisher import Publisher
from penstock.trainer.reporting import Reporter

IDLE_SECONDS = 0.25
"""How long the loop waits for a micro-batch before it looks at the stop flag again."""


class Trainer:
    """Learns micro-batches until it is told to stop."""

    def __init__(
        self,
        *,
        batches: BatchSource,
        learner: Learner,
        publisher: Publisher,
        offset_log: OffsetLog,
        telemetry: Telemetry,
        clock: Clock,
    ) -> None:
        self._batches = batches
        self._learner = learner
        self._publisher = publisher
        self._reporter = Reporter(telemetry, offset_log, learner, clock)

    def run(self, stop: Event) -> None:
        """Learn until `stop` is set, then publish what is not yet published.

        Raises:
            StopError: the reason why this trainer must not go on.
        """
        for batch in self._micro_batches(stop):
            report = self._learn(batch)
            self._publisher.publish_when_due(self._learner, report)
        self._publisher.publish_last(self._learner)

    def _learn(self, batch: EventBatch | None) -> StepReport | None:
        if batch is None:
            self._reporter.idle()
            return None
        report = self._learner.learn(batch)
        self._batches.refuse(report.refused)
        self._reporter.learnt(report)
        return report

    def _micro_batches(self, stop: Event) -> Iterator[EventBatch | None]:
        """Micro-batches as they close, and None whenever the publisher may have something due."""
        while not stop.is_set():
            patience = min(IDLE_SECONDS, self._publisher.seconds_until_due(self._learner))
            yield None if self._publisher.holds_up(patience) else self._batches.next_batch(patience)
