"""How publishing ends, pauses or is refused: by a slow disk, a silent broker, a newer trainer, another topic."""

import threading
from pathlib import Path

import pytest

from embedded_brokers import RunningBroker
from kafka_brokers import embedded as embedded_as_broker
from penstock import failpoints
from penstock.adapters.kafka.update_log import KafkaUpdateLog
from penstock.errors import FencedError, RetentionError, UnavailableError
from penstock.flow import Checkpoint, ModelUpdate, Offsets, Weights
from publisher_bench import Bench
from waiting import wait_for

SLOW_SECONDS = 2.5
"""Of a disk, for one checkpoint."""


def test_a_fenced_trainer_hears_of_it_when_it_next_publishes(made: Bench, embedded_broker: RunningBroker) -> None:
    made.learn(8)
    made.publish_until_announced(8)
    newer = KafkaUpdateLog(embedded_as_broker(embedded_broker).options, made.config.name)
    newer.claim("newer")
    newer.close()
    made.learn(16)

    def fenced() -> bool:
        try:
            made.publisher.publish_when_due(made.learner, None)
        except FencedError:
            return True
        return False

    wait_for(fenced, "the older trainer is told")
    made.announcer.failure = None  # so that closing does not raise it again


def test_a_trainer_that_is_stopped_waits_for_a_slow_disk_and_announces_what_it_has_saved(
    made: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    save = made.checkpoints.save

    def slowly(checkpoint: Checkpoint, weights: Weights) -> Path:
        threading.Event().wait(SLOW_SECONDS)
        return save(checkpoint, weights)

    monkeypatch.setattr(made.checkpoints, "save", slowly)
    made.learn(8)
    made.publisher.publish_when_due(made.learner, None)
    made.learn(16)
    made.publisher.publish_last(made.learner)
    assert [update.offsets[0] for update in made.see_updates()][-1:] == [16]


def test_a_trainer_that_is_stopped_does_not_ask_twice_where_nobody_answers(
    made: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries: list[int] = []

    def unanswered(update: ModelUpdate) -> None:
        tries.append(update.version)
        raise UnavailableError("Kafka does not answer")

    monkeypatch.setattr(made.update_log, "append", unanswered)
    made.learn(8)
    made.publisher.publish_last(made.learner)
    assert (tries, made.num_saved()) == ([1], 1)


def test_after_a_failure_nothing_is_asked_of_an_intake_that_is_about_to_be_closed(made: Bench) -> None:
    made.letters.acknowledged.clear()
    made.learn(8)
    made.publisher.publish_when_due(made.learner, None)
    wait_for(lambda: made.letters.num_asked > 2, "the writer waits for the acknowledgement", every_seconds=0.005)
    made.publisher.close()
    num_asked = made.letters.num_asked
    made.letters.acknowledged.set()
    assert not made.publisher._writer.is_alive()
    assert made.letters.num_asked == num_asked
    assert made.num_saved() == 0


def test_nothing_learnt_of_another_topic_of_that_name_is_saved(made: Bench) -> None:
    made.learn(8)
    made.publish_until_announced(8)
    assert made.told.saved_offsets == [Offsets(next={0: 8})]
    made.topic.was_made_anew = True
    made.learn(16)

    def stopped() -> bool:
        try:
            made.publisher.publish_when_due(made.learner, None)
        except RetentionError:
            return True
        return False

    wait_for(stopped, "the trainer is told")
    saved = made.checkpoints.load_newest()
    assert saved is not None
    assert saved.offsets == Offsets(next={0: 8})
    made.publisher._failure = None  # so that closing does not raise it again


def test_a_trainer_that_is_to_pause_learns_nothing_while_no_checkpoint_can_be_written(made: Bench) -> None:
    failpoints.arm("checkpoint.tensors_written=enospc@1")
    try:
        made.learn(8)
        made.publisher.publish_when_due(made.learner, None)
        wait_for(lambda: made.publisher.holds_up(0.0), "learning pauses", every_seconds=0.005)
        assert made.num_saved() == 0
        assert made.publisher.seconds_until_due(made.learner) > 0.5
        made.disk_clock.seconds += 1.0
        made.publish_until_announced(8)
        assert not made.publisher.holds_up(0.0)
    finally:
        failpoints.arm("")
