"""The updater: what is served follows the log, and nothing a sender writes takes it away."""

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
import pytest
import torch

from counted_telemetry import CountedTelemetry
from large_updates import Store
from penstock.clock import SystemClock
from penstock.errors import ConfigurationError, RefusedUpdateError, StopError, UnavailableError
from penstock.flow import Claim, LogRecord, ModelUpdate, Weights, Withdrawal
from penstock.serving.builder import ModelBuilder
from penstock.serving.slot import Slot
from penstock.serving.updater import Updater
from served_models import (
    CPU,
    MIXED,
    PIXELS,
    QueuedFeed,
    corrupt,
    update_of,
    update_with,
    weights_of,
    with_tensors_spoilt,
)
from waiting import wait_for


class Replica:
    """An updater with everything around it."""

    def __init__(self, feed: QueuedFeed) -> None:
        self.feed, self.slot, self.store, self.telemetry = feed, Slot(), Store(), CountedTelemetry()
        self.stopped_by: list[StopError] = []
        self.updater = Updater(
            feed,
            self.slot,
            ModelBuilder(PIXELS, device=CPU, fetcher=self.store, batch_sizes=lambda: (1, 7)),
            model=PIXELS.name,
            telemetry=self.telemetry,
            clock=SystemClock(),
            give_up=self.stopped_by.append,
            retry_seconds=0.01,
        )

    @property
    def version(self) -> int:
        return self.slot.current.version if self.slot.current else 0

    def wait_for_version(self, version: int) -> None:
        wait_for(lambda: self.version == version, f"version {version} is served", every_seconds=0.002)

    def wait_for_result(self, result: str, count: float = 1) -> None:
        wait_for(lambda: self.telemetry.results().get(result) == count, f"{result} is counted", every_seconds=0.002)

    def wait_for_results(self, results: dict[str, float]) -> None:
        """They are counted behind the swap."""
        wait_for(lambda: self.telemetry.results() == results, f"{results} are counted", every_seconds=0.002)


Start = Callable[[QueuedFeed], Replica]


@pytest.fixture
def start() -> Iterator[Start]:
    torch.set_num_threads(1)
    started: list[Replica] = []

    def begin(feed: QueuedFeed) -> Replica:
        started.append(Replica(feed))
        started[-1].updater.start()
        return started[-1]

    yield begin
    for replica in started:
        replica.updater.close()
        assert replica.feed.closed


def test_the_newest_update_found_at_start_is_served(start: Start) -> None:
    replica = start(QueuedFeed([Claim(epoch=1, holder="a"), update_of(3)]))
    replica.wait_for_version(3)
    assert replica.slot.current is not None
    assert replica.slot.current.sha256 == update_of(3).sha256


def test_an_update_appended_later_replaces_it_and_is_measured(start: Start) -> None:
    replica = start(QueuedFeed([update_of(1)]))
    replica.wait_for_version(1)
    replica.feed.append(update_of(2))
    replica.wait_for_version(2)
    replica.wait_for_result("swapped", 2)
    value = replica.telemetry.value
    info = {"model": "digits", "version": "2", "sha256": update_of(2).sha256}
    wait_for(lambda: value("penstock_model_info", **info) == 1, "the version is shown", every_seconds=0.002)
    assert value("penstock_model_version") == 2
    assert value("penstock_model_trained_until_timestamp_seconds") == update_of(2).trained_until_ms / 1000
    assert value("penstock_classes") == 5
    assert value("penstock_swap_seconds_count") == 2
    assert value("penstock_freshness_seconds_count") == 1


def test_freshness_counts_from_the_newest_event_learnt_not_from_the_announcement(start: Start) -> None:
    replica = start(QueuedFeed([update_of(1)]))
    replica.wait_for_version(1)
    assert replica.telemetry.value("penstock_freshness_seconds_count") == 0  # found at start, however old it is
    now_ms = SystemClock().now_ms()
    replica.feed.append(replace(update_of(2), trained_until_ms=now_ms - 7_000, announced_at_ms=now_ms))
    wait_for(
        lambda: replica.telemetry.value("penstock_freshness_seconds_count") == 1, "it is measured", every_seconds=0.002
    )
    assert 7 <= replica.telemetry.value("penstock_freshness_seconds_sum") < 20


def test_an_event_of_a_clock_that_is_ahead_is_as_fresh_as_can_be(start: Start) -> None:
    replica = start(QueuedFeed([update_of(1)]))
    replica.wait_for_version(1)
    replica.feed.append(replace(update_of(2), trained_until_ms=SystemClock().now_ms() + 3_600_000))
    wait_for(
        lambda: replica.telemetry.value("penstock_freshness_seconds_count") == 1, "it is measured", every_seconds=0.002
    )
    assert replica.telemetry.value("penstock_freshness_seconds_sum") == 0


def test_a_replica_that_is_behind_goes_straight_to_the_newest(start: Start) -> None:
    replica = start(QueuedFeed([update_of(1)]))
    replica.wait_for_version(1)
    replica.feed.append(*(update_of(version) for version in range(2, 40)))
    replica.wait_for_version(39)
    replica.wait_for_results({"swapped": 2, "skipped": 37})


def test_between_the_steps_of_a_swap_way_is_made_for_requests() -> None:
    feed, slot = QueuedFeed([update_of(1)]), Slot()
    seen: list[int] = []
    updater = Updater(
        feed,
        slot,
        ModelBuilder(PIXELS, device=CPU, fetcher=Store()),
        model=PIXELS.name,
        telemetry=CountedTelemetry(),
        clock=SystemClock(),
        give_up=lambda _: None,
        make_way=lambda: seen.append(slot.current.version if slot.current else 0),
    )
    updater.follow()
    assert seen == [1, 1], "only what follows the replacement is the updater's own"


def retold(update: ModelUpdate, **changes: object) -> ModelUpdate:
    return replace(update, **changes)  # type: ignore[arg-type]  # by field name


def test_what_comes_in_several_polls_is_taken_in_before_a_model_is_built(start: Start) -> None:
    class OneByOne(QueuedFeed):
        def poll(self, timeout_seconds: float) -> list[LogRecord]:
            taken, self._queued = self._queued[:1], self._queued[1:]
            return taken

    replica = start(OneByOne([update_of(1)]))
    replica.wait_for_version(1)
    replica.feed.append(*(update_of(version) for version in range(2, 12)))
    replica.wait_for_version(11)
    replica.wait_for_results({"swapped": 2, "skipped": 9})


BAD = {
    "digest": corrupt(update_of(2)),
    "size": retold(update_of(2), size_bytes=17),
    "ledger": retold(update_of(2), class_ledger_digest="0" * 64),
    "not_finite": with_tensors_spoilt(update_of(2), lambda head: np.full_like(head, np.nan)),
    "not_finite answers": with_tensors_spoilt(update_of(2), lambda head: np.full_like(head, 3e38)),
    "model": retold(update_with(weights_of(MIXED.name)[0], version=2), model=PIXELS.name),
    "format": update_with(
        Weights(b"no", class_ledger_digest=weights_of(PIXELS.name)[0].class_ledger_digest),
        version=2,
    ),
    "uri": retold(update_of(2), inline=None, uri="http://elsewhere/weights"),
}


def test_a_number_that_is_not_finite_is_refused_before_anything_is_computed_with_it() -> None:
    builder = ModelBuilder(PIXELS, device=CPU, fetcher=Store())
    with pytest.raises(RefusedUpdateError, match=r"hold a value in 'head\.rows' that is not finite"):
        builder.build(BAD["not_finite"])


@pytest.mark.parametrize("reason", BAD)
def test_a_bad_update_keeps_the_current_model_and_is_counted(start: Start, reason: str) -> None:
    replica = start(QueuedFeed([update_of(1)]))
    replica.wait_for_version(1)
    replica.feed.append(BAD[reason])
    replica.wait_for_result(reason.split()[0])
    assert replica.version == 1
    replica.feed.append(update_of(3))
    replica.wait_for_version(3)


def test_when_the_newest_is_bad_the_newest_good_one_queued_with_it_is_served(start: Start) -> None:
    replica = start(QueuedFeed([update_of(1)]))
    replica.wait_for_version(1)
    replica.feed.append(update_of(2), update_of(3), corrupt(update_of(4)))
    replica.wait_for_version(3)
    replica.wait_for_results({"swapped": 2, "skipped": 1, "digest": 1})


def test_a_zombie_trainer_is_not_heard_after_the_claim(start: Start) -> None:
    replica = start(QueuedFeed([Claim(epoch=1, holder="a"), update_of(1)]))
    replica.wait_for_version(1)
    replica.feed.append(Claim(epoch=2, holder="b"), update_of(2, epoch=1))
    replica.wait_for_result("fenced")
    assert replica.version == 1
    replica.feed.append(update_of(3, epoch=2))
    replica.wait_for_version(3)


def test_repeated_and_older_updates_change_nothing(start: Start) -> None:
    replica = start(QueuedFeed([update_of(3)]))
    replica.wait_for_version(3)
    replica.feed.append(update_of(3), update_of(2))
    replica.wait_for_result("repeated")
    replica.wait_for_result("older")
    assert replica.version == 3


def test_a_withdrawn_model_is_served_and_flagged_until_the_next_update(start: Start) -> None:
    replica = start(QueuedFeed([update_of(1)]))
    replica.wait_for_version(1)
    replica.feed.append(Withdrawal(model=PIXELS.name))
    wait_for(lambda: replica.slot.withdrawn, "the withdrawal is flagged", every_seconds=0.002)
    wait_for(lambda: replica.telemetry.value("penstock_model_withdrawn") == 1, "it is measured", every_seconds=0.002)
    assert replica.version == 1
    replica.feed.append(update_of(2))
    wait_for(lambda: not replica.slot.withdrawn, "the flag is taken back", every_seconds=0.002)
    assert replica.version == 2


def test_while_the_broker_is_away_the_model_is_served_and_the_next_update_still_comes(start: Start) -> None:
    replica = start(QueuedFeed([update_of(1)]))
    replica.wait_for_version(1)
    replica.feed.problems += [UnavailableError("gone")] * 3
    wait_for(lambda: not replica.feed.problems, "the updater tries again", every_seconds=0.002)
    assert replica.version == 1
    replica.feed.append(update_of(2))
    replica.wait_for_version(2)


def test_a_broker_that_is_away_at_start_is_waited_for(start: Start) -> None:
    feed = QueuedFeed([update_of(1)])
    feed.problems += [UnavailableError("not yet")] * 3
    start(feed).wait_for_version(1)


def test_a_defect_in_the_feed_does_not_end_the_updater(start: Start) -> None:
    replica = start(QueuedFeed([update_of(1)]))
    replica.wait_for_version(1)
    replica.feed.problems.append(ZeroDivisionError("a defect"))
    wait_for(lambda: not replica.feed.problems, "the defect has struck", every_seconds=0.002)
    replica.feed.append(update_of(2))
    replica.wait_for_version(2)


def test_a_topic_that_can_never_be_followed_ends_the_replica(start: Start) -> None:
    feed = QueuedFeed()
    feed.problems.append(ConfigurationError("two partitions"))
    replica = start(feed)
    wait_for(lambda: replica.stopped_by, "the replica gives up", every_seconds=0.002)
    assert str(replica.stopped_by[0]) == "two partitions"


def test_weights_by_uri_are_fetched_again_until_they_can_be(start: Start) -> None:
    replica = start(QueuedFeed([update_of(1)]))
    replica.wait_for_version(1)
    replica.feed.append(retold(update_of(2), inline=None, uri="file:///weights"))
    wait_for(lambda: replica.telemetry.results().get("fetch", 0) >= 2, "the fetch is tried again", every_seconds=0.002)
    assert replica.version == 1
    replica.store.content["file:///weights"] = bytes(update_of(2).inline or b"")
    replica.wait_for_version(2)


def test_a_newer_update_overtakes_one_that_cannot_be_fetched(start: Start) -> None:
    replica = start(QueuedFeed([update_of(1)]))
    replica.wait_for_version(1)
    replica.feed.append(retold(update_of(2), inline=None, uri="file:///weights"))
    wait_for(lambda: replica.telemetry.results().get("fetch", 0) >= 1, "the fetch has failed", every_seconds=0.002)
    replica.feed.append(update_of(3))
    replica.wait_for_version(3)
    replica.wait_for_result("skipped")
