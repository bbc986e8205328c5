"""The model's topics: made as they should be, and checked against it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import structlog
from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import ConfigResource, NewTopic  # type: ignore[attr-defined]  # re-exported without __all__

from penstock.adapters.kafka.catalog import Catalog, is_embedded
from penstock.adapters.kafka.config import KafkaValue
from penstock.adapters.kafka.connection import address, connect_admin, unanswered
from penstock.adapters.kafka.health import BrokerHealth
from penstock.adapters.kafka.topic_names import TopicNames
from penstock.errors import ConfigurationError, UnavailableError

TIMEOUT_SECONDS = 10.0
REACHABLE_SECONDS = 3.0
"""A broker that has not answered by then counts as away."""
DAY_MS = 24 * 60 * 60 * 1000

Settings = Mapping[str, str]

UPDATES: Settings = {
    # Ten updates of half a megabyte a second fill a segment in ten seconds; the cleaner, every 15 s, then leaves one.
    "cleanup.policy": "compact",
    "segment.bytes": str(64 * 1024 * 1024),
    "segment.ms": str(10 * 60 * 1000),
    "min.cleanable.dirty.ratio": "0.1",
    "max.message.bytes": str(8 * 1024 * 1024),
}
DEAD_LETTERS: Settings = {
    # A message as large as the label topic takes must still fit with its headers.
    "cleanup.policy": "delete",
    "retention.ms": str(14 * DAY_MS),
    "max.message.bytes": str(2 * 1024 * 1024),
}
LEAST_SEGMENT_MS = 60 * 1000


def predictions_settings(window_seconds: float) -> Settings:
    """Of a prediction topic whose predictions are joined to labels that come up to so much later.

    They are kept as long again, for a trainer that was away; and brokers stamp them, so that a label finds the same
    prediction whenever it is read.
    """
    window_ms = round(window_seconds * 1000)
    return {
        "cleanup.policy": "delete",
        "retention.ms": str(2 * window_ms),
        "segment.ms": str(max(window_ms // 4, LEAST_SEGMENT_MS)),
        "message.timestamp.type": "LogAppendTime",
    }


log = structlog.get_logger(__name__)


@dataclass(frozen=True, kw_only=True)
class Finding:
    """What a check of one thing found; `sentence` is for a person."""

    name: str
    ok: bool
    sentence: str


def create_topics(
    options: Mapping[str, KafkaValue],
    model: str,
    *,
    partitions: int = 3,
    replication_factor: int = 1,
    prediction_window_seconds: float | None = None,
) -> list[Finding]:
    """Create the topics that are missing; check those that exist and leave them as they are.

    The prediction topic is one of them if a window is given, in which late labels find their predictions.

    Raises:
        UnavailableError: the broker does not answer.
        ConfigurationError: the broker cannot create topics.
    """
    names, health = TopicNames(model), BrokerHealth(address(options))
    admin = connect_admin(options, health)
    existing = _metadata(admin, health)
    if is_embedded(existing):
        raise ConfigurationError(
            "The embedded broker creates no topics on request: it has those it was started with, and only those."
        )
    wanted: dict[str, tuple[int, Settings]] = {
        names.labels: (partitions, {}),
        names.updates: (1, UPDATES),
        names.dead_letters: (partitions, DEAD_LETTERS),
    }
    if prediction_window_seconds is not None:
        wanted[names.predictions] = (partitions, predictions_settings(prediction_window_seconds))
    missing = [
        NewTopic(name, num_partitions=count, replication_factor=replication_factor, config=dict(settings))
        for name, (count, settings) in wanted.items()
        if name not in existing.topics
    ]
    refused = _create(admin, missing)
    created = {topic.topic for topic in missing} - set(refused)
    _wait_until_visible(options, health, created)
    return [
        Finding(name=f"topic {name}", ok=False, sentence=refused[name])
        if name in refused
        else _after_creation(finding, is_new=name in created)
        for name, finding in zip(wanted, _check_topics(admin, health, names, prediction_window_seconds), strict=True)
    ]


def describe(
    options: Mapping[str, KafkaValue], model: str, *, prediction_window_seconds: float | None = None
) -> list[Finding]:
    """Is the broker there, and is every topic as it must be? Fails at once rather than wait for a broker."""
    health = BrokerHealth(address(options))
    try:
        admin = connect_admin(options, health)
        metadata = _metadata(admin, health)
        reachable = f"Reached at {health.address}; {_counted(len(metadata.brokers), 'broker')} in the cluster."
        topics = _check_topics(admin, health, TopicNames(model), prediction_window_seconds)
        return [Finding(name="kafka", ok=True, sentence=reachable), *topics]
    except (UnavailableError, ConfigurationError) as error:
        return [Finding(name="kafka", ok=False, sentence=str(error))]


def update_topic_problem(num_partitions: int, settings: Settings | None, topic: str) -> str | None:
    """Why this cannot be an update topic, as a sentence; None if it can. Unknown settings count as right."""
    if num_partitions != 1:
        return (
            f"The update topic {topic!r} has {num_partitions} partitions; it must have exactly 1, for the last "
            "claim in it to be the last. Delete it and run `penstock topics create`."
        )
    policy = (settings or UPDATES).get("cleanup.policy", "")
    if "compact" not in policy.split(","):
        return (
            f"The update topic {topic!r} has cleanup.policy={policy}; it must be compact, or the newest model "
            "vanishes when it gets old. Give it cleanup.policy=compact."
        )
    return None


def read_settings(options: Mapping[str, KafkaValue], topic: str, health: BrokerHealth) -> Settings | None:
    """A topic's settings; None where they cannot be read: the embedded broker has none, or we may not see them.

    Raises:
        UnavailableError: the broker does not answer.
    """
    admin = connect_admin(options, health)
    if is_embedded(_metadata(admin, health)):
        return None
    return _settings(admin, health, topic)


def _metadata(admin: Any, health: BrokerHealth) -> Any:
    try:
        return admin.list_topics(timeout=REACHABLE_SECONDS)
    except KafkaException as error:
        raise unanswered(error, health) from None


def _create(admin: Any, topics: list[NewTopic]) -> dict[str, str]:
    """Create them; those that the broker refused, with its reason."""
    refused: dict[str, str] = {}
    if not topics:
        return refused
    for name, outcome in admin.create_topics(topics, request_timeout=TIMEOUT_SECONDS).items():
        try:
            outcome.result()
            log.debug("topic created", topic=name)
        except KafkaException as error:
            if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                refused[name] = f"{name} cannot be created: {error.args[0].str()}"
    return refused


def _wait_until_visible(options: Mapping[str, KafkaValue], health: BrokerHealth, topics: set[str]) -> None:
    """Brokers learn of a new topic a moment after its creation."""
    if not topics:
        return
    with Catalog(options, health) as catalog:
        for topic in topics:
            catalog.wait_for(topic, TIMEOUT_SECONDS)


def _after_creation(finding: Finding, *, is_new: bool) -> Finding:
    prefix = "Created" if is_new else "Exists already"
    return Finding(name=finding.name, ok=finding.ok, sentence=f"{prefix}: {finding.sentence}")


def _check_topics(
    admin: Any, health: BrokerHealth, names: TopicNames, prediction_window_seconds: float | None
) -> list[Finding]:
    metadata = _metadata(admin, health)
    checks: list[tuple[str, Callable[[str, int, Settings | None], tuple[bool, str]]]] = [
        (names.labels, _labels),
        (names.updates, _updates),
        (names.dead_letters, _dead_letters),
    ]
    if prediction_window_seconds is not None:
        checks.append((names.predictions, partial(_predictions, prediction_window_seconds)))
    findings = []
    for topic, check in checks:
        found = metadata.topics.get(topic)
        if found is None:
            ok, sentence = (
                False,
                f"{topic} does not exist at {health.address}; create it with `penstock topics create`.",
            )
        else:
            settings = None if is_embedded(metadata) else _settings(admin, health, topic)
            ok, sentence = check(topic, len(found.partitions), settings)
        findings.append(Finding(name=f"topic {topic}", ok=ok, sentence=sentence))
    return findings


def _labels(topic: str, num_partitions: int, settings: Settings | None) -> tuple[bool, str]:
    if settings is not None and "compact" in settings.get("cleanup.policy", "").split(","):
        return False, f"{topic} is compacted: events vanish before they are learnt. Set cleanup.policy=delete."
    return True, f"{topic} has {_counted(num_partitions)}; events are kept {_retention(settings)}."


def _updates(topic: str, num_partitions: int, settings: Settings | None) -> tuple[bool, str]:
    problem = update_topic_problem(num_partitions, settings, topic)
    if problem is not None:
        return False, problem
    if settings is None:
        return True, f"{topic} has 1 partition; whether it is compacted cannot be read from this broker."
    largest = int(settings.get("max.message.bytes", 0))
    return True, f"{topic} has 1 partition, is compacted, and takes updates of up to {largest:,} bytes."


def _dead_letters(topic: str, num_partitions: int, settings: Settings | None) -> tuple[bool, str]:
    if settings is not None and "compact" in settings.get("cleanup.policy", "").split(","):
        return False, f"{topic} is compacted: it refuses messages without a key. Set cleanup.policy=delete."
    return True, f"{topic} has {_counted(num_partitions)}; dead letters are kept {_retention(settings)}."


def _predictions(window_seconds: float, topic: str, num_partitions: int, settings: Settings | None) -> tuple[bool, str]:
    known = settings or predictions_settings(window_seconds)
    if "compact" in known.get("cleanup.policy", "").split(","):
        return False, f"{topic} is compacted: it keeps predictions without end. Set cleanup.policy=delete."
    retention_ms = int(known.get("retention.ms", -1))
    if 0 <= retention_ms < window_seconds * 1000:
        return False, (
            f"{topic} keeps predictions {_retention(settings)}, shorter than intake.late_labels.window_seconds "
            f"({window_seconds:g}): late labels would find them gone. Raise retention.ms."
        )
    if known.get("message.timestamp.type") != "LogAppendTime":
        return False, (
            f"{topic} has message.timestamp.type={known.get('message.timestamp.type')}: a label read again could find "
            "another prediction. Set message.timestamp.type=LogAppendTime."
        )
    return True, f"{topic} has {_counted(num_partitions)}; predictions are kept {_retention(settings)}."


def _counted(number: int, what: str = "partition") -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _retention(settings: Settings | None) -> str:
    """How long messages stay, in words."""
    if settings is None:
        return "as long as the broker decides (its settings cannot be read)"
    milliseconds = int(settings.get("retention.ms", -1))
    largest = int(settings.get("retention.bytes", -1))
    limit = f", at most {largest:,} bytes a partition" if largest >= 0 else ""
    if milliseconds < 0:
        return f"without end{limit}"
    days = milliseconds / DAY_MS
    return f"{days:.3g} days{limit}" if days >= 1 else f"{milliseconds / 3_600_000:.3g} hours{limit}"


def _settings(admin: Any, health: BrokerHealth, topic: str) -> Settings | None:
    resource = ConfigResource(ConfigResource.Type.TOPIC, topic)
    outcome = admin.describe_configs([resource], request_timeout=TIMEOUT_SECONDS)[resource]
    try:
        return {name: entry.value for name, entry in outcome.result().items()}
    except KafkaException as error:
        if error.args[0].code() in (KafkaError.TOPIC_AUTHORIZATION_FAILED, KafkaError.CLUSTER_AUTHORIZATION_FAILED):
            return None
        raise unanswered(error, health) from None
