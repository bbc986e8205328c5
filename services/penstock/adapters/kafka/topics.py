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
from penstock.adapters.kafka.topic_rules import (
    DEAD_LETTERS,
    UPDATES,
    Settings,
    Verdict,
    check_dead_letters,
    check_labels,
    check_predictions,
    check_updates,
    counted,
    predictions_settings,
)
from penstock.errors import ConfigurationError, UnavailableError

TIMEOUT_SECONDS = 10.0
REACHABLE_SECONDS = 3.0
"""A broker that has not answered by then counts as away."""

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
        reachable = f"Reached at {health.address}; {counted(len(metadata.brokers), 'broker')} in the cluster."
        topics = _check_topics(admin, health, TopicNames(model), prediction_window_seconds)
        return [Finding(name="kafka", ok=True, sentence=reachable), *topics]
    except (UnavailableError, ConfigurationError) as error:
        return [Finding(name="kafka", ok=False, sentence=str(error))]


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
    checks: list[tuple[str, Callable[[str, int, Settings | None], Verdict]]] = [
        (names.labels, check_labels),
        (names.updates, check_updates),
        (names.dead_letters, check_dead_letters),
    ]
    if prediction_window_seconds is not None:
        checks.append((names.predictions, partial(check_predictions, prediction_window_seconds)))
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


def _settings(admin: Any, health: BrokerHealth, topic: str) -> Settings | None:
    resource = ConfigResource(ConfigResource.Type.TOPIC, topic)
    outcome = admin.describe_configs([resource], request_timeout=TIMEOUT_SECONDS)[resource]
    try:
        return {name: entry.value for name, entry in outcome.result().items()}
    except KafkaException as error:
        if error.args[0].code() in (KafkaError.TOPIC_AUTHORIZATION_FAILED, KafkaError.CLUSTER_AUTHORIZATION_FAILED):
            return None
        raise unanswered(error, health) from None
