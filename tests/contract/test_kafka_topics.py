"""Topics are created as they must be, once; what is wrong with existing ones is said in a sentence."""

import pytest
from confluent_kafka.admin import AdminClient

from kafka_brokers import Broker, create_topic, new_name
from penstock.adapters.kafka.local_kafka import LocalKafka
from penstock.adapters.kafka.topics import Finding, create_topics, describe
from penstock.errors import ConfigurationError, UnavailableError


def sentences(findings: list[Finding]) -> str:
    return "\n".join(finding.sentence for finding in findings)


def test_topics_are_created_once_with_the_right_partitions(kafka: LocalKafka) -> None:
    options, model = {"bootstrap.servers": kafka.bootstrap_servers}, new_name()
    first = create_topics(options, model, partitions=5, replication_factor=1)
    assert [finding.ok for finding in first] == [True] * 3
    assert [finding.name for finding in first] == [
        f"topic {model}.{kind}" for kind in ("labels", "updates", "dead-letters")
    ]
    assert all(finding.sentence.startswith("Created: ") for finding in first)
    topics = AdminClient(dict(options)).list_topics(timeout=60).topics
    assert {name: len(found.partitions) for name, found in topics.items() if name.startswith(model)} == {
        f"{model}.labels": 5,
        f"{model}.updates": 1,
        f"{model}.dead-letters": 5,
    }
    again = create_topics(options, model, partitions=7, replication_factor=1)
    assert all(finding.ok and finding.sentence.startswith("Exists already: ") for finding in again)
    assert "5 partitions" in again[0].sentence


def test_a_topic_that_the_broker_refuses_is_reported_with_its_reason(kafka: LocalKafka) -> None:
    findings = create_topics({"bootstrap.servers": kafka.bootstrap_servers}, new_name(), replication_factor=3)
    assert [finding.ok for finding in findings] == [False] * 3
    assert "eplication factor" in findings[0].sentence


def test_doctor_finds_all_well_with_topics_that_we_create(kafka: LocalKafka) -> None:
    options, model = {"bootstrap.servers": kafka.bootstrap_servers}, new_name()
    create_topics(options, model)
    findings = describe(options, model)
    assert all(finding.ok for finding in findings), findings
    assert findings[0].name == "kafka"
    assert "3 partitions; events are kept 7 days" in sentences(findings)
    assert "1 partition, is compacted, and takes updates of up to 8,388,608 bytes" in sentences(findings)
    assert "dead letters are kept 14 days" in sentences(findings)


def test_doctor_names_missing_topics_and_the_command(kafka: LocalKafka) -> None:
    findings = describe({"bootstrap.servers": kafka.bootstrap_servers}, "nowhere")
    assert [finding.ok for finding in findings] == [True, False, False, False]
    assert all("`penstock topics create`" in finding.sentence for finding in findings[1:])


@pytest.mark.parametrize(
    ("kind", "partitions", "settings", "sentence"),
    [
        ("updates", 3, {"cleanup.policy": "compact"}, "has 3 partitions; it must have exactly 1"),
        ("updates", 1, {}, "has cleanup.policy=delete; it must be compact"),
        ("labels", 2, {"cleanup.policy": "compact"}, "events vanish before they are learnt"),
        ("dead-letters", 1, {"cleanup.policy": "compact"}, "refuses messages without a key"),
    ],
)
def test_doctor_and_create_say_what_is_wrong_with_an_existing_topic(
    kafka: LocalKafka, kind: str, partitions: int, settings: dict[str, str | int], sentence: str
) -> None:
    options, model = {"bootstrap.servers": kafka.bootstrap_servers}, new_name()
    create_topic(kafka.bootstrap_servers, f"{model}.{kind}", partitions, settings)
    for findings in (create_topics(options, model), describe(options, model)):
        wrong = [finding for finding in findings if not finding.ok]
        assert [finding.name for finding in wrong] == [f"topic {model}.{kind}"]
        assert sentence in wrong[0].sentence


def test_retention_is_said_in_words(kafka: LocalKafka) -> None:
    options, model = {"bootstrap.servers": kafka.bootstrap_servers}, new_name()
    create_topic(
        kafka.bootstrap_servers, f"{model}.labels", 1, {"retention.ms": 5_400_000, "retention.bytes": 1_000_000}
    )
    assert "events are kept 1.5 hours, at most 1,000,000 bytes a partition" in sentences(describe(options, model))
    model = new_name()
    create_topic(kafka.bootstrap_servers, f"{model}.labels", 1, {"retention.ms": -1})
    assert "events are kept without end" in sentences(describe(options, model))


def test_doctor_knows_what_the_embedded_broker_cannot_say(broker: Broker) -> None:
    model = new_name()
    broker.create_model_topics(model)
    findings = describe(broker.options, model)
    assert all(finding.ok for finding in findings), findings
    if broker.kind == "embedded":
        assert "cannot be read" in sentences(findings)
        with pytest.raises(ConfigurationError, match="embedded broker creates no topics on request"):
            create_topics(broker.options, model)


def test_no_broker_fails_at_once_with_the_address(unused_address: str) -> None:
    options = {"bootstrap.servers": unused_address}
    findings = describe(options, "any")
    assert [(finding.name, finding.ok) for finding in findings] == [("kafka", False)]
    assert unused_address in findings[0].sentence
    with pytest.raises(UnavailableError, match=unused_address):
        create_topics(options, "any")


def test_an_unknown_kafka_key_is_named() -> None:
    findings = describe({"bootstrap.servers": "127.0.0.1:1", "no.such.key": "x"}, "any")
    assert 'No such configuration property: "no.such.key"' in findings[0].sentence


def test_a_wrong_value_is_named_but_a_secret_is_not_shown() -> None:
    findings = describe(
        {"bootstrap.servers": "127.0.0.1:1", "sasl.password": "hunter2", "security.protocol": "hunter2"}, "any"
    )
    assert "security.protocol" in findings[0].sentence
    assert "hunter2" not in findings[0].sentence
