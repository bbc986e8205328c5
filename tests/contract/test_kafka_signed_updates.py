"""Signed updates on a broker: a replica with the key finds the newest that is signed, whatever was appended since."""

from collections.abc import Callable, Sequence

import pytest

from kafka_brokers import new_name, produce, real
from penstock.adapters.kafka.local_kafka import LocalKafka
from penstock.adapters.kafka.update_log import KafkaUpdateLog
from penstock.flow import Claim, LogRecord, ModelUpdate
from penstock.serving.ports import UpdateFeed
from penstock.wire.model_update import encode_record
from penstock.wire.signature import SigningKeys
from update_feeds import FEEDS
from update_records import delta_of, recorded_of, update_of, write_as_another

OpenFeed = Callable[..., UpdateFeed]

KEYS, OTHERS = SigningKeys((b"the key of these tests",)), SigningKeys((b"the key of somebody else",))


@pytest.mark.parametrize("open_feed", FEEDS.values(), ids=FEEDS)
def test_updates_without_the_right_signature_are_skipped_from_the_end_back_and_as_they_come(
    kafka: LocalKafka, open_feed: OpenFeed
) -> None:
    broker, model = real(kafka), new_name()
    broker.create_model_topics(model)
    log = KafkaUpdateLog(broker.options, model, signing_keys=KEYS)
    refused: list[str] = []
    feed = open_feed(broker.options, model, signing_keys=KEYS, on_refused=refused.append)
    plain = open_feed(broker.options, model)
    try:
        log.claim("trainer")
        log.append(update_of(model, version=1))
        forge(broker.bootstrap_servers, model, update_of(model, version=2))
        assert versions(feed.newest()) == [1]
        assert refused == ["signature"] * 2
        assert versions(plain.newest()) == [2], "a replica without a key takes all"

        log.append(update_of(model, version=4))
        forge(broker.bootstrap_servers, model, update_of(model, version=5))
        write_as_another(broker.bootstrap_servers, model, Claim(epoch=9, holder="the end"))
        came: list[object] = []
        while not any(isinstance(record, Claim) and record.epoch == 9 for record in came):
            came += feed.poll(0.2)
        assert [record.version for record in came if isinstance(record, ModelUpdate)] == [4]
        assert refused == ["signature"] * 4
    finally:
        for each in (feed, plain, log):
            each.close()


@pytest.mark.parametrize("open_feed", FEEDS.values(), ids=FEEDS)
def test_deltas_and_what_is_recorded_must_be_signed_as_whole_updates_are(
    kafka: LocalKafka, open_feed: OpenFeed
) -> None:
    broker, model = real(kafka), new_name()
    broker.create_model_topics(model)
    log = KafkaUpdateLog(broker.options, model, signing_keys=KEYS)
    refused: list[str] = []
    feed = open_feed(broker.options, model, signing_keys=KEYS, on_refused=refused.append)
    try:
        claim = log.claim("trainer").claim
        whole, delta, recorded = update_of(model, version=1), delta_of(model, version=2), recorded_of(model, version=2)
        log.append(whole)
        log.append(delta)
        log.note_recorded(recorded)
        for forged in (delta_of(model, version=3), recorded_of(model, version=3)):
            forge(broker.bootstrap_servers, model, forged)
        assert feed.newest() == [claim, whole, delta, recorded]
        assert refused == ["signature"] * 4
        as_another_kind(broker.bootstrap_servers, model, whole)
        write_as_another(broker.bootstrap_servers, model, Claim(epoch=9, holder="the end"))
        came: list[object] = []
        while not came:
            came += feed.poll(0.2)
        assert came == [Claim(epoch=9, holder="the end")]
        assert refused == ["signature"] * 6
    finally:
        feed.close()
        log.close()


def as_another_kind(bootstrap_servers: str, model: str, update: ModelUpdate) -> None:
    """A value that the trainer has signed, under keys that it was not signed for."""
    key, value = encode_record(update, model)
    assert value is not None
    for suffix in (b"#delta", b"#recorded"):
        produce(bootstrap_servers, f"{model}.updates", [KEYS.signed(key, value)], key=key + suffix)


def forge(bootstrap_servers: str, model: str, record: LogRecord) -> None:
    """It unsigned, and signed by another key."""
    write_as_another(bootstrap_servers, model, record)
    key, value = encode_record(record, model)
    assert value is not None
    produce(bootstrap_servers, f"{model}.updates", [OTHERS.signed(key, value)], key=key)


def versions(records: Sequence[object]) -> list[int]:
    """Of the newest update among them."""
    found = [record.version for record in records if isinstance(record, ModelUpdate)]
    return [max(found)] if found else []
