"""The update topic as replicas read it: the newest without waiting for a next, then everything that follows."""

import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from confluent_kafka.admin import AdminClient

from kafka_brokers import Broker, create_model_topics, create_topic, new_name, produce
from penstock.adapters.kafka.connection import wait_until_connected
from penstock.adapters.kafka.local_kafka import LocalKafka
from penstock.errors import ConfigurationError, UnavailableError
from penstock.flow import Claim, LogRecord, ModelUpdate, Withdrawal
from penstock.serving.ports import UpdateFeed
from penstock.wire.model_update import encode_record
from update_feeds import FEEDS
from update_records import delta_of, read_log, recorded_of, update_of, write_as_another
from waiting import PATIENCE_SECONDS, wait_for

Open = Callable[..., UpdateFeed]


@pytest.fixture(params=FEEDS)
def opened(request: pytest.FixtureRequest) -> Iterator[Open]:
    """Makes feeds, and closes them at the end."""
    feeds: list[UpdateFeed] = []

    def make(bootstrap_servers: str, model: str, **arguments: Any) -> UpdateFeed:
        feed = FEEDS[request.param]({"bootstrap.servers": bootstrap_servers}, model, **arguments)
        feeds.append(feed)
        return feed

    yield make
    for feed in feeds:
        feed.close()


def poll_until(feed: UpdateFeed, count: int, timeout_seconds: float = PATIENCE_SECONDS) -> list[LogRecord]:
    """The next `count` records."""
    records: list[LogRecord] = []
    deadline = time.monotonic() + timeout_seconds
    while len(records) < count:
        assert time.monotonic() < deadline, f"only {records} came"
        records += feed.poll(0.2)
    return records


def test_an_empty_topic_has_nothing_newest_and_says_so_at_once(broker: Broker, model: str, opened: Open) -> None:
    feed = opened(broker.bootstrap_servers, model)
    began = time.monotonic()
    assert feed.newest() == []
    assert time.monotonic() - began < PATIENCE_SECONDS / 4
    assert feed.poll(0.05) == []


def test_the_newest_update_and_its_claim_are_found_without_waiting_for_a_next(
    broker: Broker, model: str, opened: Open
) -> None:
    write_as_another(broker.bootstrap_servers, model, Claim(epoch=1, holder="a"))
    write_as_another(broker.bootstrap_servers, model, *(update_of(model, version=v) for v in range(1, 31)))
    feed = opened(broker.bootstrap_servers, model)
    began = time.monotonic()
    assert feed.newest() == [Claim(epoch=1, holder="a"), update_of(model, version=30)]
    assert time.monotonic() - began < PATIENCE_SECONDS / 4


def test_what_is_no_record_is_passed_over_and_told_of_from_the_end_back_and_as_it_comes(
    broker: Broker, model: str, opened: Open
) -> None:
    def write_before_year_one(version: int) -> None:
        key, value = encode_record(update_of(model, version=version), model)
        odd = {**json.loads(value or b""), "announced_at": "0001-01-01T00:00:00+23:59"}
        produce(broker.bootstrap_servers, f"{model}.updates", [json.dumps(odd).encode()], key=key)

    good = [update_of(model, version=1), update_of(model, version=3)]
    refused: list[str] = []
    feed = opened(broker.bootstrap_servers, model, on_refused=refused.append)
    write_as_another(broker.bootstrap_servers, model, Claim(epoch=1, holder="a"), good[0])
    write_before_year_one(2)
    assert feed.newest() == [Claim(epoch=1, holder="a"), good[0]]
    assert set(refused) == {"field"}

    refused.clear()
    write_before_year_one(2)
    produce(broker.bootstrap_servers, f"{model}.updates", [b"no JSON"], key=model.encode())
    write_as_another(broker.bootstrap_servers, model, good[1])
    assert poll_until(feed, 1) == [good[1]]
    assert refused == ["field", "decode"]


def test_what_is_appended_afterwards_comes_in_order_and_nothing_twice(broker: Broker, model: str, opened: Open) -> None:
    write_as_another(broker.bootstrap_servers, model, Claim(epoch=1, holder="a"), update_of(model, version=1))
    feed = opened(broker.bootstrap_servers, model)
    feed.newest()
    later: list[LogRecord] = [
        update_of(model, version=2),
        Claim(epoch=2, holder="b"),
        update_of(model, version=3),
        Withdrawal(model=model),
        update_of(model, version=4, epoch=2),
    ]
    write_as_another(broker.bootstrap_servers, model, *later)
    assert poll_until(feed, len(later)) == later
    assert feed.poll(0.1) == []


def test_an_update_that_a_claim_made_stale_does_not_hide_the_one_before(
    broker: Broker, model: str, opened: Open
) -> None:
    records: list[LogRecord] = [
        Claim(epoch=1, holder="a"),
        update_of(model, version=1),
        Claim(epoch=2, holder="b"),
        update_of(model, version=2, epoch=1),
    ]
    write_as_another(broker.bootstrap_servers, model, *records)
    assert opened(broker.bootstrap_servers, model).newest() == records


def test_a_withdrawal_comes_with_the_update_that_it_withdraws(broker: Broker, model: str, opened: Open) -> None:
    records: list[LogRecord] = [Claim(epoch=1, holder="a"), update_of(model, version=1), Withdrawal(model=model)]
    write_as_another(broker.bootstrap_servers, model, *records)
    assert opened(broker.bootstrap_servers, model).newest() == records


def test_records_that_do_not_decode_are_passed_over(broker: Broker, model: str, opened: Open) -> None:
    servers, topic = broker.bootstrap_servers, f"{model}.updates"
    write_as_another(servers, model, Claim(epoch=1, holder="a"), update_of(model, version=1))
    produce(servers, topic, [b"{", b'{"model": 1}'], key=model.encode())
    produce(servers, topic, [b"{}"], key=b"\xff")
    feed = opened(servers, model)
    assert feed.newest() == [Claim(epoch=1, holder="a"), update_of(model, version=1)]
    produce(servers, topic, [b"[]"], key=model.encode())
    write_as_another(servers, model, update_of(model, version=2))
    assert poll_until(feed, 1) == [update_of(model, version=2)]


def test_what_somebody_wrote_there_for_another_model_comes_as_it_is(broker: Broker, model: str, opened: Open) -> None:
    feed = opened(broker.bootstrap_servers, model)
    assert feed.newest() == []
    key, value = encode_record(update_of("another", version=1), "another")
    assert value is not None
    produce(broker.bootstrap_servers, f"{model}.updates", [value], key=key)
    own: list[LogRecord] = [recorded_of(model, version=1), update_of(model, version=2)]
    write_as_another(broker.bootstrap_servers, model, *own)
    assert poll_until(feed, 3) == [update_of("another", version=1), *own]


@pytest.mark.parametrize("opened", ["here"], indirect=True)
def test_where_it_cannot_follow_at_first_it_looks_again(
    broker: Broker, model: str, opened: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    fails = iter([True])

    def connected_at_last(*arguments: Any) -> None:
        if next(fails, False):
            raise UnavailableError("not yet")
        wait_until_connected(*arguments)

    monkeypatch.setattr("penstock.adapters.kafka.update_feed.wait_until_connected", connected_at_last)
    feed = opened(broker.bootstrap_servers, model)
    with pytest.raises(UnavailableError):
        feed.newest()
    write_as_another(broker.bootstrap_servers, model, Claim(epoch=1, holder="a"), update_of(model, version=1))
    assert poll_until(feed, 2) == [Claim(epoch=1, holder="a"), update_of(model, version=1)]


def test_a_missing_topic_is_waited_for(broker: Broker, opened: Open) -> None:
    model = new_name()
    feed = opened(broker.bootstrap_servers, model)
    with pytest.raises(UnavailableError, match=rf"'{model}.updates' does not exist .*`penstock topics create`"):
        feed.newest()
    assert feed.poll(0.05) == []
    broker.create_model_topics(model)
    write_as_another(broker.bootstrap_servers, model, Claim(epoch=1, holder="a"))
    assert poll_until(feed, 1) == [Claim(epoch=1, holder="a")]


def test_more_than_one_partition_is_refused(broker: Broker, opened: Open) -> None:
    model = new_name()
    broker.create_topic(f"{model}.updates", 3)
    with pytest.raises(ConfigurationError, match="has 3 partitions; it must have exactly 1"):
        opened(broker.bootstrap_servers, model).newest()


def test_a_broker_that_does_not_answer_is_unavailable_and_polls_stay_empty(opened: Open, unused_address: str) -> None:
    feed = opened(unused_address, "any", timeout_seconds=0.3)
    with pytest.raises(UnavailableError, match=f"Kafka does not answer at {unused_address}"):
        feed.newest()
    began = time.monotonic()
    assert feed.poll(0.1) == []
    assert time.monotonic() - began < PATIENCE_SECONDS / 4


def test_of_a_compacted_topic_the_newest_whole_update_and_the_newest_delta_are_found_across_its_gaps(
    kafka: LocalKafka, opened: Open
) -> None:
    model, servers = new_name(), kafka.bootstrap_servers
    settings: dict[str, str | int] = {
        "cleanup.policy": "compact",
        "segment.ms": 100,
        "min.cleanable.dirty.ratio": "0.01",
        "min.compaction.lag.ms": 0,
    }
    create_topic(servers, f"{model}.updates", 1, settings)
    write_as_another(servers, model, Claim(epoch=1, holder="a"))
    versions = iter(range(1, 10_000))

    def write(count: int) -> None:
        """So many whole updates, each with a delta over it."""
        for _ in range(count):
            whole = update_of(model, version=next(versions))
            delta = delta_of(model, version=next(versions), base_version=whole.version)
            write_as_another(servers, model, whole, delta)

    def compacted() -> bool:
        write(5)
        return len(read_log(servers, model)) < 20

    write(20)
    wait_for(compacted, "most updates are compacted away", every_seconds=0.15)
    newest = next(versions) - 1
    delta = delta_of(model, version=newest, base_version=newest - 1)
    feed = opened(servers, model)
    assert feed.newest() == [Claim(epoch=1, holder="a"), update_of(model, version=newest - 1), delta]
    assert {encode_record(record, model)[0] for record in read_log(servers, model)} == {
        model.encode(),
        f"{model}#claim".encode(),
        f"{model}#delta".encode(),
    }
    write_as_another(servers, model, Claim(epoch=2, holder="b"))
    assert poll_until(feed, 1) == [Claim(epoch=2, holder="b")]


@pytest.mark.parametrize("num_before", [10, 1], ids=["shorter than before", "longer than before"])
def test_a_topic_that_is_made_anew_is_followed(kafka: LocalKafka, opened: Open, num_before: int) -> None:
    model, servers = new_name(), kafka.bootstrap_servers
    create_model_topics(servers, model)
    write_as_another(servers, model, *(update_of(model, version=version) for version in range(1, num_before + 1)))
    feed = opened(servers, model)
    assert feed.newest() == [update_of(model, version=num_before)]
    admin = AdminClient({"bootstrap.servers": servers})
    admin.delete_topics([f"{model}.updates"])[f"{model}.updates"].result(60)
    wait_for(lambda: f"{model}.updates" not in admin.list_topics(timeout=60).topics, "the topic is gone")
    feed.poll(0.1)
    create_model_topics(servers, model)
    anew: list[LogRecord] = [Claim(epoch=1, holder="b"), *(update_of(model, version=v) for v in range(50, 54))]
    write_as_another(servers, model, *anew)

    seen: list[LogRecord] = []

    def has_followed() -> bool:
        seen.extend(feed.poll(0.2))
        return update_of(model, version=53) in seen

    wait_for(has_followed, "the feed reads the new topic")
    assert all(not isinstance(record, ModelUpdate) or record.version >= 50 for record in seen)
    write_as_another(servers, model, update_of(model, version=54))
    assert poll_until(feed, 1) == [update_of(model, version=54)]
