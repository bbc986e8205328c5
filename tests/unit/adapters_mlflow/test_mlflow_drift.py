"""What MLflow is told of drift stays bounded."""

from dataclasses import replace

from penstock.adapters.mlflow.drift import LONGEST_TAG, TAGS, drift_metrics, drift_tags
from penstock.flow import DriftAlarm

ALARM = DriftAlarm(number=1, at_ms=5, at_event=100, at_step=4, before=0.1, after=0.4, num_after=9, classes=("a",))


def test_however_many_alarms_there_are_the_tags_are_few_and_hold_the_newest() -> None:
    tags: dict[str, str] = {}
    for number in range(1, 5 * TAGS):
        alarm = replace(ALARM, number=number)
        tags |= drift_tags([alarm], [alarm])
    assert len(tags) == TAGS + 1
    newest = range(4 * TAGS, 5 * TAGS)
    assert {text.split()[1] for text in tags.values()} == {str(number) for number in newest}
    assert tags["penstock.drift.last"].startswith(f"alarm {5 * TAGS - 1} ")


def test_an_older_alarm_that_has_news_does_not_become_the_last() -> None:
    older, newer = ALARM, replace(ALARM, number=2)
    tags = drift_tags([older], [older, newer])
    assert tags["penstock.drift.01"].startswith("alarm 1 ")
    assert tags["penstock.drift.last"].startswith("alarm 2 ")
    assert drift_tags([], [older, newer]) == {}


def test_a_tag_is_never_too_long_for_mlflow() -> None:
    alarm = replace(ALARM, classes=tuple("x" * 256 for _ in range(5)))
    assert len(drift_tags([alarm], [alarm])["penstock.drift.01"]) == LONGEST_TAG


def test_recovery_is_a_metric_once_there_is_one() -> None:
    assert {name for name, *_ in drift_metrics([ALARM])} == {"drift/size", "drift/errors_before", "drift/errors_after"}
    recovered = replace(ALARM, recovered_after_events=7, recovered_after_seconds=1.5)
    assert ("drift/recovery_seconds", 1.5, 5, 100) in list(drift_metrics([recovered]))
