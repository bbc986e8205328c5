"""What the operator may say to librdkafka, and what Penstock decides itself."""

from collections.abc import Mapping

from penstock.errors import ConfigurationError

KafkaValue = str | int | float | bool

OWNED_KEYS: Mapping[str, str] = {
    "enable.auto.commit": "the checkpoint alone decides which events count as learnt",
    "auto.commit.interval.ms": "the checkpoint alone decides which events count as learnt",
    "enable.auto.offset.store": "offsets are stored in the checkpoint",
    "auto.offset.reset": "a retention hole must stop the trainer rather than be skipped",
    "enable.partition.eof": "Penstock reads the end of partitions itself",
    "enable.idempotence": "updates and dead letters rely on it",
    "acks": "updates and dead letters rely on it",
}
SECRET_WORDS = ("password", "secret", "key.pem", "token", "passphrase", "jaas", "oauthbearer.config")


def checked(options: Mapping[str, KafkaValue]) -> dict[str, KafkaValue]:
    """The `[kafka]` section, or a sentence on what is wrong with it.

    Raises:
        ConfigurationError: an owned key is set, or `bootstrap.servers` is missing.
    """
    for key, reason in OWNED_KEYS.items():
        if key in options:
            raise ConfigurationError(f"kafka.{key!r} cannot be set: {reason}. Remove it.")
    if not options.get("bootstrap.servers"):
        raise ConfigurationError("kafka: 'bootstrap.servers' is missing; name the brokers, as host:port.")
    return dict(options)


def redacted(options: Mapping[str, KafkaValue]) -> dict[str, KafkaValue]:
    """The options with secret values replaced, for logs."""
    return {key: "***" if any(word in key for word in SECRET_WORDS) else value for key, value in options.items()}
