"""librdkafka's clients: what we own stays ours, what the operator says is kept, what fails is said once."""

import pytest
from confluent_kafka import KafkaError
from structlog.testing import capture_logs

from penstock.adapters.kafka.config import redacted
from penstock.adapters.kafka.connection import admin_config, consumer_config, fetch_wait_ms, producer_config
from penstock.adapters.kafka.health import PATIENCE_SECONDS, REPEAT_SECONDS, BrokerHealth
from stepped_clock import SteppedClock

OPTIONS: dict[str, str | int | float | bool] = {
    "bootstrap.servers": "kafka:9092",
    "client.id": "mine",
    "group.id": "our-group",
    "message.max.bytes": 5_000_000,
}
SECRETS = (
    "sasl.password",
    "ssl.key.password",
    "ssl.keystore.password",
    "ssl.key.pem",
    "sasl.oauthbearer.config",
    "sasl.oauthbearer.client.secret",
    "sasl.oauthbearer.token",
    "sasl.oauthbearer.assertion.private.key.passphrase",
    "sasl.jaas.config",
)


@pytest.fixture
def clock() -> SteppedClock:
    """At an arbitrary moment."""
    return SteppedClock()


@pytest.fixture
def health(clock: SteppedClock) -> BrokerHealth:
    """Of brokers at kafka:9092."""
    return BrokerHealth("kafka:9092", clock)


def test_secrets_are_kept_from_logs_and_nothing_else_is() -> None:
    shown = redacted({**OPTIONS, **dict.fromkeys(SECRETS, "hunter2")})
    assert shown == {**OPTIONS, **dict.fromkeys(SECRETS, "***")}


def down() -> KafkaError:
    return KafkaError(KafkaError._ALL_BROKERS_DOWN)


def test_the_operators_options_win_over_defaults_and_lose_against_what_we_own() -> None:
    for config in (consumer_config(OPTIONS), producer_config(OPTIONS), admin_config(OPTIONS)):
        assert {key: config[key] for key in OPTIONS} == OPTIONS
    consumer = consumer_config({**OPTIONS, "auto.offset.reset": "latest", "enable.auto.commit": True})
    assert consumer["auto.offset.reset"] == "error"
    assert consumer["enable.auto.commit"] is False
    assert consumer["enable.auto.offset.store"] is False
    assert consumer["allow.auto.create.topics"] is False
    assert consumer["check.crcs"] is True
    producer = producer_config({**OPTIONS, "acks": "0", "enable.idempotence": False})
    assert producer["acks"] == "all"
    assert producer["enable.idempotence"] is True


def test_reconnecting_takes_at_most_a_second() -> None:
    assert int(consumer_config(OPTIONS)["reconnect.backoff.max.ms"]) <= 1000


def test_the_embedded_broker_is_not_left_to_hold_fetches() -> None:
    assert fetch_wait_ms(is_embedded=True) < fetch_wait_ms(is_embedded=False)


def test_a_broker_that_is_away_is_named_once_then_every_so_often(health: BrokerHealth, clock: SteppedClock) -> None:
    with capture_logs() as lines:
        for _ in range(1000):
            health.failed(down())
            clock.seconds += REPEAT_SECONDS / 500
    assert [line["event"] for line in lines] == ["Kafka does not answer at kafka:9092, trying again"] * 2


def test_a_connection_that_is_back_at_once_is_not_worth_a_line(health: BrokerHealth, clock: SteppedClock) -> None:
    with capture_logs() as lines:
        for _ in range(5):
            health.failed(down())
            clock.seconds += PATIENCE_SECONDS / 2
            health.answered()
    assert lines == []


def test_its_return_is_said_once_with_how_long_it_was_away(health: BrokerHealth, clock: SteppedClock) -> None:
    with capture_logs() as lines:
        health.failed(down())
        clock.seconds += 12
        health.failed(down())
        health.answered()
        health.answered()
    assert [line["event"] for line in lines][1:] == ["Kafka answers again"]
    assert lines[1]["seconds"] == 12.0


def test_other_errors_are_said_in_the_brokers_words_and_not_repeated(health: BrokerHealth) -> None:
    with capture_logs() as lines:
        for _ in range(10):
            health.failed(KafkaError(KafkaError.TOPIC_AUTHORIZATION_FAILED))
    assert [line["event"] for line in lines] == [
        "Kafka reports an error, trying again: Broker: Topic authorization failed"
    ]
