"""What the trainer says of each step, as metrics and as log lines."""

from collections.abc import Mapping
from dataclasses import replace

from structlog.testing import capture_logs

from counted_telemetry import CountedTelemetry
from labelled_rows import PLANE, event_batch, plane_batches, points_of_classes
from penstock.flow import Offsets
from penstock.learning.config import TrainingConfig
from penstock.learning.learner import Learner
from penstock.replay.config import ReplayConfig
from penstock.trainer.reporting import LAG_INTERVAL_SECONDS, NAMED_CLASSES, PROGRESS_INTERVAL_SECONDS, Reporter
from stepped_clock import SteppedClock


class Ends:
    """The label topic, as far as a reporter looks at it."""

    def __init__(self, next_: Mapping[int, int]) -> None:
        self.next = dict(next_)

    def commit(self, offsets: Offsets) -> None:
        raise AssertionError("a reporter commits nothing")

    def end_offsets(self) -> Offsets:
        return Offsets(next=self.next)


class Bench:
    def __init__(self, ends: Mapping[int, int] = {0: 0}, capacity: int = 60) -> None:
        self.telemetry, self.clock, self.ends = CountedTelemetry("trainer"), SteppedClock(), Ends(ends)
        replay = ReplayConfig(capacity=capacity)
        self.learner = Learner(PLANE, TrainingConfig(device="cpu"), replay, topic="plane.labels", max_events=256)
        self.reporter = Reporter(self.telemetry, self.ends, self.learner, self.clock)

    def value(self, name: str, **labels: str) -> float:
        return self.telemetry.value(name, **labels)


def test_every_step_is_measured_and_its_events_counted_by_class() -> None:
    bench = Bench()
    reports = [bench.learner.learn(batch) for batch in plane_batches(["a", "b", "c"], 3, 20)]
    for report in reports:
        bench.reporter.learnt(report)
    last = reports[-1]
    assert 0 < last.prequential_accuracy < 1
    assert bench.value("penstock_events_learnt_total") == 60
    for name in ("a", "b", "c"):
        learnt = sum(report.events_by_class.get(name, 0) for report in reports)
        assert bench.value("penstock_class_events_total", **{"class": name}) == learnt > 0
    assert bench.value("penstock_classes") == 3
    assert bench.value("penstock_prequential_accuracy_ratio") == last.prequential_accuracy
    assert bench.value("penstock_prequential_loss") == last.prequential_loss > 0
    assert bench.value("penstock_prequential_kappa_temporal_ratio") == last.prequential_kappa_temporal != 0
    assert bench.value("penstock_reservoir_rows") == last.reservoir_rows > 0
    assert bench.value("penstock_step_seconds_count") == 3
    assert bench.value("penstock_step_seconds_sum") == sum(report.step_seconds for report in reports)


def test_classes_beyond_the_named_ones_share_a_series() -> None:
    bench, count = Bench(capacity=300), NAMED_CLASSES + 20
    points, _ = points_of_classes(["a"], count, seed=0)
    labels = [f"class {number}" for number in range(count)]
    with capture_logs() as lines:
        bench.reporter.learnt(bench.learner.learn(event_batch(PLANE.schema, {"point": points}, labels)))
    assert bench.value("penstock_class_events_total", **{"class": labels[0]}) == 1
    assert bench.value("penstock_class_events_total", **{"class": labels[NAMED_CLASSES]}) == 0
    assert bench.value("penstock_class_events_total", **{"class": "other"}) == 20
    (line,) = [line for line in lines if line["event"] == "new classes"]
    assert (line["known"], line["step"]) == (count, 1)
    assert line["classes"] == ", ".join(labels[:10]) + ", …"


def test_a_step_without_new_classes_says_nothing() -> None:
    bench = Bench()
    first, second = plane_batches(["a", "b"], 2, 20)
    bench.reporter.learnt(bench.learner.learn(first))
    with capture_logs() as lines:
        bench.reporter.learnt(bench.learner.learn(second))
    assert lines == []


def test_lag_is_what_the_topic_is_ahead_of_what_is_learnt_also_while_nothing_comes() -> None:
    bench = Bench(ends={0: 50, 1: 7})
    bench.reporter.learnt(bench.learner.learn(plane_batches(["a", "b"], 1, 20)[0]))
    assert bench.value("penstock_consumer_lag_events", partition="0") == 30
    assert bench.value("penstock_consumer_lag_events", partition="1") == 7
    bench.ends.next = {0: 90, 1: 7}
    bench.clock.seconds += LAG_INTERVAL_SECONDS
    bench.reporter.idle()
    assert bench.value("penstock_consumer_lag_events", partition="0") == 70
    bench.ends.next = {0: 10, 1: 7}  # heard before the step
    bench.clock.seconds += LAG_INTERVAL_SECONDS
    bench.reporter.idle()
    assert bench.value("penstock_consumer_lag_events", partition="0") == 0


def test_progress_is_logged_now_and_then_with_its_speed_and_not_while_nothing_is_learnt() -> None:
    bench = Bench()
    bench.reporter.learnt(bench.learner.learn(plane_batches(["a", "b"], 1, 20)[0]))
    with capture_logs() as lines:
        bench.clock.seconds += PROGRESS_INTERVAL_SECONDS
        bench.reporter.idle()
        bench.clock.seconds += PROGRESS_INTERVAL_SECONDS
        bench.reporter.idle()
    (line,) = lines
    assert (line["event"], line["events"], line["classes"], line["step"]) == ("learning", 20, 2, 1)
    assert line["events_per_second"] == 20 / PROGRESS_INTERVAL_SECONDS


def test_events_of_retired_classes_are_told_at_once_and_then_with_the_progress_not_every_step() -> None:
    bench = Bench()
    bench.reporter.learnt(bench.learner.learn(plane_batches(["a", "b"], 1, 20)[0]))
    quiet = bench.learner.learn(plane_batches(["a", "b"], 1, 20, seed=1, first_offset=20)[0])

    def told() -> list[int]:
        return [line["num_events"] for line in lines if line["event"] == "events of retired classes passed over"]

    with capture_logs() as lines:
        for _ in range(3):
            bench.reporter.learnt(replace(quiet, passed_over=5))
        assert told() == [5]
        for after in ([5, 10], [5, 10]):  # the second time there is nothing new to tell
            bench.clock.seconds += PROGRESS_INTERVAL_SECONDS
            bench.reporter.idle()
            assert told() == after
        bench.reporter.learnt(replace(quiet, passed_over=2))
    assert told() == [5, 10, 2]
    assert bench.value("penstock_events_passed_over_total") == 17
