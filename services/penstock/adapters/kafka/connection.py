"""From the operator's `[kafka]` section to librdkafka clients that keep trying and keep quiet."""

from collections.abc import Callable, Mapping
from typing import Any

import structlog
from confluent_kafka import Consumer, KafkaError, KafkaException, Producer
from confluent_kafka.admin import AdminClient

from penstock.adapters.kafka.config import KafkaValue, redacted
from penstock.adapters.kafka.health import BrokerHealth
from penstock.errors import ConfigurationError, PenstockError, UnavailableError

EMBEDDED_CLUSTER_PREFIX = "mockCluster"
"""How librdkafka's built-in cluster names itself."""
MAX_MESSAGE_BYTES = 64 * 1024 * 1024
"""The most that a producer hands to the broker, which decides by the topic's `max.message.bytes`."""

COMMON: Mapping[str, KafkaValue] = {
    "client.id": "penstock",
    "socket.keepalive.enable": True,
    "socket.timeout.ms": 10_000,
    "reconnect.backoff.ms": 250,
    "reconnect.backoff.max.ms": 1_000,
    "log_level": 0,  # each failed attempt is a line; `BrokerHealth` says what an operator must know
}

log = structlog.get_logger(__name__)


def address(options: Mapping[str, KafkaValue]) -> str:
    """The brokers, for sentences."""
    return str(options["bootstrap.servers"])


def consumer_config(options: Mapping[str, KafkaValue]) -> dict[str, KafkaValue]:
    """For a consumer whose offsets are ours: nothing committed, nothing reset, nothing created behind our back."""
    return {
        **COMMON,
        "group.id": "penstock",  # librdkafka asks for one; `assign` never joins it
        "check.crcs": True,
        **options,
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
        "auto.offset.reset": "error",
        "enable.partition.eof": True,
        "allow.auto.create.topics": False,
    }


def producer_config(options: Mapping[str, KafkaValue]) -> dict[str, KafkaValue]:
    """For a producer whose messages arrive once, in order, on every replica of the partition."""
    return {
        **COMMON,
        "message.max.bytes": MAX_MESSAGE_BYTES,
        **options,
        "enable.idempotence": True,
        "acks": "all",
    }


def admin_config(options: Mapping[str, KafkaValue]) -> dict[str, KafkaValue]:
    """For topics and their settings."""
    return {**COMMON, **options}


def fetch_wait_ms(*, is_embedded: bool) -> int:
    """How long a broker may hold a fetch for which it has no data.

    Kafka answers as soon as there is data. The embedded broker always waits it out, so for it the wait is the latency.
    """
    return 5 if is_embedded else 100


def connect_consumer(config: Mapping[str, KafkaValue], health: BrokerHealth, **callbacks: Callable[..., None]) -> Any:
    """A consumer; it connects in the background. Raises `ConfigurationError`."""
    return _connected(Consumer, config, health, callbacks)


def connect_producer(config: Mapping[str, KafkaValue], health: BrokerHealth) -> Any:
    """A producer; it connects in the background. Raises `ConfigurationError`."""
    return _connected(Producer, config, health, {})


def connect_admin(options: Mapping[str, KafkaValue], health: BrokerHealth) -> Any:
    """An admin client; it connects in the background. Raises `ConfigurationError`."""
    return _connected(AdminClient, admin_config(options), health, {})


def _connected(
    kind: Callable[..., Any],
    config: Mapping[str, KafkaValue],
    health: BrokerHealth,
    callbacks: Mapping[str, Callable[..., None]],
) -> Any:
    try:
        return kind({**config, "error_cb": health.failed, "logger": LibrdkafkaLog(), **callbacks})
    except (KafkaException, ValueError, TypeError) as error:
        raise ConfigurationError(f"kafka: {_without_secrets(_text(error), config)}.") from None


def unanswered(error: KafkaException, health: BrokerHealth) -> PenstockError:
    """The error to raise for a request that failed: the address when nobody answered, else the broker's words."""
    problem = error.args[0]
    health.failed(problem)
    if problem.retriable() or problem.code() < 0:
        return UnavailableError(f"Kafka does not answer at {health.address} ({problem.str()}).")
    return UnavailableError(f"Kafka at {health.address} refuses: {problem.str()}.")


def wait_until_connected(client: Any, topic: str, health: BrokerHealth, timeout_seconds: float) -> None:
    """Have the client connect and learn who leads the topic, which must exist.

    A first message or assignment that finds no connection is late by librdkafka's timers, up to a second.

    Raises:
        UnavailableError: no broker answers.
    """
    try:
        client.list_topics(topic, timeout=timeout_seconds)
    except KafkaException as error:
        raise unanswered(error, health) from None


class LibrdkafkaLog:
    """Where librdkafka logs to if the operator sets `log_level` or `debug`: our log instead of bare standard error."""

    def log(self, level: int, template: str, *values: object) -> None:
        """Called with `logging.Logger.log`'s arguments."""
        log.info("librdkafka", text=template % values, level=level)


def _text(error: Exception) -> str:
    problem = error.args[0] if error.args else error
    return str(problem.str()) if isinstance(problem, KafkaError) else str(error)


def _without_secrets(text: str, config: Mapping[str, KafkaValue]) -> str:
    for key, shown in redacted(config).items():
        if shown != config[key] and config[key] != "":
            text = text.replace(str(config[key]), str(shown))
    return text
