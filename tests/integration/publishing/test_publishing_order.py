"""The order of publication, on a real disk and the embedded broker: saved first, then announced, never backwards."""

from pathlib import Path

import pytest

from computing_threads import computing_threads, num_computing_threads
from embedded_brokers import RunningBroker
from kafka_brokers import embedded as embedded_as_broker
from penstock.flow import ModelUpdate, Offsets
from publisher_bench import Bench
from waiting import wait_for


def test_what_is_announced_is_on_disk_before_and_offsets_are_committed_after(made: Bench) -> None:
    announced_by_then: list[list[Offsets]] = []

    def look() -> None:
        feed = made.new_feed()
        announced_by_then.append([record.offsets for record in feed.newest() if isinstance(record, ModelUpdate)])
        feed.close()

    made.offset_log.when_committing = look
    made.learn(8)
    update = made.publish_until_announced(8)
    saved = made.checkpoints.load_newest()
    assert saved is not None
    assert (saved.version, saved.offsets) == (update.version, update.offsets)
    wait_for(lambda: made.offset_log.committed == update.offsets, "group offsets are committed")
    assert announced_by_then == [[update.offsets]]  # of every commit, the only one


def test_a_version_is_never_used_again_by_whoever_comes_next(
    made: Bench, embedded_broker: RunningBroker, tmp_path: Path
) -> None:
    made.learn(8)
    first = made.publish_until_announced(8)
    after = Bench(embedded_as_broker(embedded_broker), tmp_path / "after", made.config.name)
    try:
        after.learn(16)
        second = after.publish_until_announced(16)
        assert (second.epoch, second.version) == (first.epoch + 1, first.version + 1)
    finally:
        after.close()


def test_versions_only_grow_and_nothing_new_is_not_announced(made: Bench) -> None:
    made.learn(8)
    first = made.publish_until_announced(8)
    for _ in range(20):
        made.publisher.publish_when_due(made.learner, None)
    assert made.publisher.seconds_until_due(made.learner) == float("inf")
    made.learn(16)
    second = made.publish_until_announced(16)
    assert second.version == first.version + 1
    assert [update.version for update in made.see_updates()] == [first.version, second.version]


def test_each_announcement_is_measured(made: Bench) -> None:
    made.learn(8)
    made.publish_until_announced(8)
    made.offset_log.ends = Offsets(next={0: 20, 1: 3})
    made.learn(16)
    update = made.publish_until_announced(16)
    assert (update.metrics["events_learnt"], update.metrics["lag_events"]) == (16, 7)
    value = made.telemetry.value
    info = {"model": update.model, "version": str(update.version), "sha256": update.sha256}
    wait_for(lambda: value("penstock_model_info", **info) == 1, "the version is shown")
    assert value("penstock_updates_published_total") == 2
    assert value("penstock_model_version") == update.version
    assert value("penstock_model_trained_until_timestamp_seconds") == update.trained_until_ms / 1000 == 0.015
    assert value("penstock_announced_bytes_total", way="inline") >= update.size_bytes
    for name in ("penstock_checkpoint_seconds", "penstock_publish_seconds"):
        assert value(f"{name}_count") == 2
        assert 0 < value(f"{name}_sum") < 120


@pytest.mark.parametrize("made", [Offsets(next={0: 20})], indirect=True)
def test_it_stays_silent_until_it_is_ahead_of_what_replicas_have_learnt(made: Bench) -> None:
    made.learn(8)
    made.publisher.publish_when_due(made.learner, None)
    wait_for(made.num_saved, "the checkpoint is written all the same")
    made.learn(24)
    update = made.publish_until_announced(24)
    assert [seen.offsets[0] for seen in made.see_updates()] == [24]
    assert update.metrics["events_learnt"] == 24


def test_a_checkpoint_waits_for_its_dead_letters_and_training_does_not(made: Bench) -> None:
    made.letters.acknowledged.clear()
    made.learn(8)
    made.publisher.publish_when_due(made.learner, None)
    made.learn(16)
    assert made.num_saved() == 0
    made.letters.acknowledged.set()
    wait_for(made.num_saved, "the checkpoint is written")
    made.publish_until_announced(16)


def test_the_writer_reckons_with_as_many_threads_as_the_learner(
    made: Bench, embedded_broker: RunningBroker, tmp_path: Path
) -> None:
    """Their number decides the last bits, and what it works out is learnt on with after a restart."""
    seen: list[int] = []
    with computing_threads(3):
        bench = Bench(embedded_as_broker(embedded_broker), tmp_path / "other", made.config.name)
        try:
            acknowledged = bench.letters.wait_acknowledged

            def looked(timeout_seconds: float) -> bool:
                seen.append(num_computing_threads())
                return acknowledged(timeout_seconds)

            bench.letters.wait_acknowledged = looked  # type: ignore[method-assign]  # what the writer asks first
            bench.learn(8)
            bench.publish_until_announced(8)
        finally:
            bench.close()
    assert set(seen) == {3}
