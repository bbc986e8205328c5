"""What the trainer says about itself: metrics after each step, a log line where state changes."""

import structlog

from penstock.clock import Clock
from penstock.flow import ClassRequest, Control, ImportRequest, StepReport
from penstock.learning.learner import Learner
from penstock.telemetry import Telemetry
from penstock.trainer.drift_reporting import report_drift, report_standing
from penstock.trainer.ports import OffsetLog

LAG_INTERVAL_SECONDS = 0.5
CLASSES_INTERVAL_SECONDS = 1.0
PROGRESS_INTERVAL_SECONDS = 10.0
NAMED_CLASSES = 100
"""Classes with a metric series of their own; the rest share one, so that labels stay bounded."""

log = structlog.get_logger(__name__)


def name_of(control: Control) -> str:
    """What a control asks for, in a word."""
    if isinstance(control.request, ClassRequest):
        return control.request.verb
    return "import" if isinstance(control.request, ImportRequest) else "retract"


class Reporter:
    """Turns steps into metrics and log lines; owned by the learner's thread."""

    def __init__(self, telemetry: Telemetry, offset_log: OffsetLog, learner: Learner, clock: Clock) -> None:
        self._telemetry = telemetry
        self._offset_log = offset_log
        self._learner = learner
        self._clock = clock
        self._named: set[str] = set()
        self._lag_due = 0.0
        self._classes_due = 0.0
        self._progress_due = clock.monotonic_seconds() + PROGRESS_INTERVAL_SECONDS
        self._progress_events = learner.events_learnt
        self._passed_over, self._passes_over = 0, False

    def learnt(self, report: StepReport) -> None:
        """After every micro-batch."""
        metrics = self._telemetry
        metrics.observe("penstock_step_seconds", report.step_seconds)
        if report.num_events:
            metrics.count("penstock_events_learnt_total", report.num_events)
            metrics.gauge("penstock_prequential_accuracy_ratio", report.prequential_accuracy)
            metrics.gauge("penstock_prequential_loss", report.prequential_loss)
            metrics.gauge("penstock_reservoir_rows", report.reservoir_rows)
            metrics.gauge("penstock_prequential_kappa_temporal_ratio", report.prequential_kappa_temporal)
            self._count_classes(report)
        if report.held_out:
            metrics.count("penstock_events_held_out_total", report.held_out)
        report_drift(metrics, report)
        for answers in report.judged:
            metrics.count("penstock_answers_judged_total", answers.right, result="right")
            metrics.count("penstock_answers_judged_total", answers.events - answers.right, result="wrong")
        if report.new_classes:
            shown = ", ".join(report.new_classes[:10]) + (", …" if len(report.new_classes) > 10 else "")
            log.info("new classes", classes=shown, known=report.num_classes, step=report.step)
        if report.controls or report.woken or report.passed_over:
            self._of_classes(report)
        self._periodically()

    def idle(self) -> None:
        """When no micro-batch came."""
        self._periodically()

    def _of_classes(self, report: StepReport) -> None:
        """What controls and events did to classes."""
        for outcome in report.controls:
            verb, result = name_of(outcome.control), outcome.result
            self._telemetry.count("penstock_controls_total", control=verb, result=result)
            for head, exactness in outcome.exactness.items():
                self._telemetry.count("penstock_retractions_total", head=head, exactness=exactness)
            say = log.warning if result == "refused" else log.info
            place = f"{outcome.control.partition}:{outcome.control.offset}"
            say(f"{verb} {result}", reason=outcome.sentence, place=place, **outcome.exactness)
        if report.woken:
            log.info("classes woken by events of theirs", classes=", ".join(report.woken[:10]), step=report.step)
        if report.passed_over:
            self._telemetry.count("penstock_events_passed_over_total", report.passed_over)
            self._passed_over += report.passed_over
            if not self._passes_over:
                self._log_passed_over()
        self._telemetry.gauge("penstock_classes_asleep", self._learner.num_asleep)

    def _count_classes(self, report: StepReport) -> None:
        self._telemetry.gauge("penstock_classes", report.num_classes)
        for name, count in report.events_by_class.items():
            if name not in self._named and len(self._named) < NAMED_CLASSES:
                self._named.add(name)
            label = name if name in self._named else "other"
            self._telemetry.count("penstock_class_events_total", count, **{"class": label})

    def _periodically(self) -> None:
        now = self._clock.monotonic_seconds()
        if now >= self._lag_due:
            self._lag_due = now + LAG_INTERVAL_SECONDS
            for partition, end in self._offset_log.end_offsets().next.items():
                lag = max(end - self._learner.offsets[partition], 0)
                self._telemetry.gauge("penstock_consumer_lag_events", lag, partition=str(partition))
        if now >= self._classes_due:
            self._classes_due = now + CLASSES_INTERVAL_SECONDS
            report_standing(self._telemetry, self._learner, NAMED_CLASSES)
        if now >= self._progress_due:
            self._log_progress(now)

    def _log_progress(self, now: float) -> None:
        seconds = now - self._progress_due + PROGRESS_INTERVAL_SECONDS
        events = self._learner.events_learnt - self._progress_events
        self._progress_due = now + PROGRESS_INTERVAL_SECONDS
        self._progress_events = self._learner.events_learnt
        self._passes_over = self._passed_over > 0
        if self._passed_over:
            self._log_passed_over()
        if events:
            log.info(
                "learning",
                events=self._learner.events_learnt,
                events_per_second=round(events / seconds, 1),
                classes=len(self._learner.class_names),
                step=self._learner.step,
            )

    def _log_passed_over(self) -> None:
        """At the first of them, then with the progress: not once a micro-batch."""
        log.warning("events of retired classes passed over", num_events=self._passed_over, step=self._learner.step)
        self._passed_over, self._passes_over = 0, True
