"""What became known of a version after it was recorded, and of drift: where it stands in MLflow."""

from dataclasses import replace

import pytest

from penstock.adapters.disk.checkpoints import DiskCheckpoints
from penstock.adapters.mlflow.config import MlflowConfig
from penstock.adapters.mlflow.recorded_versions import recorded_versions
from penstock.flow import DriftAlarm, JudgedAnswers
from penstock.trainer.version_scores import OwnScores
from recorded_samples import client_of, record_of, save

ALARM = DriftAlarm(
    number=7,
    at_ms=1_700_000_000_000,
    at_event=900,
    at_step=30,
    before=0.1,
    after=0.4,
    num_after=50,
    classes=("ä b", "0"),
)
SECOND_ALARM = replace(ALARM, number=8, at_ms=1_700_000_005_000, at_event=1_900, after=0.3, classes=())


def test_drift_stands_in_the_run_at_its_own_time_and_in_words(
    config: MlflowConfig, model: str, checkpoints: DiskCheckpoints
) -> None:
    record = record_of(config, model)
    announced = replace(save(checkpoints, 1), drift=(ALARM, SECOND_ALARM))
    record.record(announced, {"loss": 1.0})
    recovered = replace(ALARM, recovered_after_events=400, recovered_after_seconds=2.5, contradicted={"ä b": 1.25})
    # Another process, as after a restart, says all of it again.
    run_id = record_of(config, model).record(replace(save(checkpoints, 2), drift=(recovered, SECOND_ALARM)), {})
    client = client_of(config)
    sizes = client.get_metric_history(run_id, "drift/size")
    assert [(round(point.value, 3), point.timestamp, point.step) for point in sizes] == [
        (0.3, ALARM.at_ms, 900),
        (0.2, SECOND_ALARM.at_ms, 1_900),
    ]
    (recovery,) = client.get_metric_history(run_id, "drift/recovery_events")
    assert (recovery.value, recovery.step) == (400, 900)
    tags = {name: text for name, text in client.get_run(run_id).data.tags.items() if "drift" in name}
    assert tags == {
        "penstock.drift.07": "alarm 7 at 2023-11-14T22:13:20.000Z, event 900: errors 0.100 → 0.400 (+0.300), recovered"
        " after 400 events (2.5 s); classes ä b, 0; remembered rows contradict new ones: ä b (+1.25 nats)",
        "penstock.drift.08": "alarm 8 at 2023-11-14T22:13:25.000Z, event 1900: errors 0.100 → 0.300 (+0.200), not"
        " recovered yet; classes none",
        "penstock.drift.last": tags["penstock.drift.08"],
    }


def test_a_version_on_record_is_told_how_good_it_was_once_that_is_known(
    config: MlflowConfig, model: str, checkpoints: DiskCheckpoints
) -> None:
    record_of(config, model).record(save(checkpoints, 3), {})
    record = record_of(config, model)  # another process: it finds version 3 in the registry
    own = OwnScores(version=3, events=40, accuracy=0.75, loss=0.5)
    answers = (JudgedAnswers(version=2, events=9, right=0), JudgedAnswers(version=4, events=3, right=2))
    record.record(replace(save(checkpoints, 5), scored=(own,), judged=answers), {})
    more = (*answers, JudgedAnswers(version=5, events=1, right=1), JudgedAnswers(version=9, events=1, right=1))
    run_id = record.record(replace(save(checkpoints, 8), scored=(own,), judged=more), {})
    client = client_of(config)
    points = {
        name: {point.step: point.value for point in client.get_metric_history(run_id, f"version/{name}")}
        for name in ("accuracy", "loss", "scored_events", "answers_accuracy", "answers_events")
    }
    assert points["accuracy"] == {3: 0.75}
    assert points["loss"] == {3: 0.5}
    assert points["scored_events"] == {3: 40}
    assert points["answers_accuracy"] == {3: pytest.approx(2 / 3), 5: 1, 8: 1}
    assert points["answers_events"] == {3: 3, 5: 1, 8: 1}
    assert len(client.get_metric_history(run_id, "version/accuracy")) == 1, "what is told already is not told again"
    tags = {each.tags["penstock.version"]: each.tags for each in client.search_model_versions(f"name='{model}'")}
    assert tags["3"]["penstock.accuracy"] == "0.750000"
    assert tags["3"]["penstock.answers_events"] == "3"
    assert "penstock.accuracy" not in tags["5"]
    shown = {each.version: each.figures for each in recorded_versions(config, model, 9)}
    assert shown[3] == {"version/accuracy": 0.75, "version/answers_accuracy": pytest.approx(2 / 3, abs=1e-6)}
