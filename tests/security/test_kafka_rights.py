"""TLS, certificates, SASL and Kafka's own authorizer: the rights that docs/security.md lists are enough, and needed."""

import re
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # re-exported without __all__
    AclBinding,
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
)

from certificates import Authority
from configurations import configuration, events, new_model
from kafka_brokers import create_model_topics
from line import Line, Process, served_version
from nursery import Nursery
from penstock.adapters.kafka.dead_letter_reader import read_letters
from penstock.adapters.kafka.local_kafka import LocalKafka
from verifying.learnt import newest_checkpoint
from waiting import wait_for

DOCUMENT = Path(__file__).parents[2] / "docs" / "security.md"
RIGHT = re.compile(r"^\| (trainer|replica|producer) \| (topic|group) \| `([^`]+)` \| ([\w, ]+) \|$", re.MULTILINE)
PASSWORDS = {
    "trainer": "planted-of-the-trainer",
    "producer": "planted-of-the-producer",
    "stranger": "planted-of-nobody",
}
SETTLED_SECONDS = 20.0


@dataclass(frozen=True, kw_only=True)
class Secured:
    """A Kafka with an authorizer; nobody but the local administrator has any right at the start."""

    kafka: LocalKafka
    authority: Authority
    folder: Path

    def sasl(self, user: str, **changes: str) -> dict[str, str]:
        """`[kafka]` keys to log in with a password over TLS."""
        return {
            "bootstrap.servers": self.kafka.addresses["PASSWORDS"],
            "security.protocol": "SASL_SSL",
            "ssl.ca.location": str(self.authority.ca_file),
            "sasl.mechanisms": "PLAIN",
            "sasl.username": user,
            "sasl.password": PASSWORDS[user],
        } | changes

    def mtls(self, user: str) -> dict[str, str]:
        """`[kafka]` keys to log in with a certificate."""
        file = str(self.authority.issue(user))
        return {
            "bootstrap.servers": self.kafka.addresses["CERTIFICATES"],
            "security.protocol": "SSL",
            "ssl.ca.location": str(self.authority.ca_file),
            "ssl.certificate.location": file,
            "ssl.key.location": file,
        }

    @property
    def local(self) -> dict[str, str]:
        """The administrator's way in."""
        return {"bootstrap.servers": self.kafka.bootstrap_servers}

    def give(self, *bindings: AclBinding) -> None:
        """Returns once the rights hold."""
        admin = AdminClient({**self.local, "log_level": 0})
        for outcome in admin.create_acls([*bindings]).values():
            outcome.result(10)

    def take_away(self, right: AclBindingFilter) -> None:
        """Returns once it is gone; it must have been given."""
        admin = AdminClient({**self.local, "log_level": 0})
        for outcome in admin.delete_acls([right]).values():
            assert outcome.result(10)

    def grant(self, model: str) -> None:
        """Exactly what the document's table says."""
        bindings = [
            binding(who, kind, name.replace("<model>", model), operation)
            for who, kind, name, operations in RIGHT.findall(DOCUMENT.read_text(encoding="utf-8"))
            for operation in operations.split(", ")
        ]
        assert len(bindings) > 10, "the table is read"
        self.give(*bindings)


def binding(
    who: str, kind: str, name: str, operation: str, kind_of: type[AclBinding | AclBindingFilter] = AclBinding
) -> Any:
    word = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", operation).upper()
    return kind_of(
        ResourceType[kind.upper()],
        name,
        ResourcePatternType.LITERAL,
        f"User:{who}",
        "*",
        AclOperation[word],
        AclPermissionType.ALLOW,
    )


@pytest.fixture(scope="module")
def secured(kafka_libs: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    folder = tmp_path_factory.mktemp("secured")
    authority = Authority(folder)
    users = " ".join(f'user_{name}="{password}"' for name, password in PASSWORDS.items())
    plain = f"org.apache.kafka.common.security.plain.PlainLoginModule required {users};"
    properties = {
        "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        "super.users": "User:ANONYMOUS",  # the listener without TLS, on loopback: for the administrator
        "ssl.keystore.type": "PEM",
        "ssl.keystore.location": str(authority.issue("broker")),
        "ssl.truststore.type": "PEM",
        "ssl.truststore.location": str(authority.ca_file),
        "listener.name.certificates.ssl.client.auth": "required",
        "ssl.principal.mapping.rules": "RULE:^CN=(.*?)$/$1/",
        "sasl.enabled.mechanisms": "PLAIN",
        "listener.name.passwords.plain.sasl.jaas.config": plain,
    }
    listeners = {"PASSWORDS": "SASL_SSL", "CERTIFICATES": "SSL"}
    with LocalKafka(folder / "kafka", libs=kafka_libs, properties=properties, listeners=listeners) as kafka:
        yield Secured(kafka=kafka, authority=authority, folder=folder)


@pytest.fixture
def granted(secured: Secured) -> str:
    """A model whose topics exist, and for which the document's rights are given."""
    model = new_model()
    create_model_topics(secured.kafka.bootstrap_servers, model)
    secured.grant(model)
    return model


def test_the_documented_rights_are_enough_for_a_whole_line_over_tls(
    secured: Secured, granted: str, nursery: Nursery, tmp_path: Path
) -> None:
    with_password = line_as(secured, secured.sasl("trainer"), granted, tmp_path / "trainer", nursery)
    with_certificate = line_as(secured, secured.mtls("replica"), granted, tmp_path / "replica", nursery)
    try:
        trainer = with_password.start_trainer()
        replica, url = with_certificate.start_replica()
        produce(secured.sasl("producer"), with_password.topics.labels, [*events(100), b"poison"])
        wait_for(lambda: served_version(url, granted) > 0, "the replica serves", 60)
        wait_for(lambda: len(letters(secured, granted)) == 1, "the poison is a dead letter")
        assert trainer.stop() == 0, trainer.text()
        assert replica.stop() == 0, replica.text()
        for text in (trainer.text(), replica.text()):
            assert "authorization" not in text.lower(), text
            assert not any(password in text for password in PASSWORDS.values())
        checkpoint = newest_checkpoint(tmp_path / "trainer" / "state", granted)
        assert checkpoint is not None
        assert checkpoint.events_learnt == 100
    finally:
        with_password.close()
        with_certificate.close()


def test_nobody_can_do_what_is_not_in_the_table(secured: Secured, granted: str) -> None:
    labels, updates, letters_ = (f"{granted}.{kind}" for kind in ("labels", "updates", "dead-letters"))
    for who, topic in (
        (secured.mtls("replica"), updates),
        (secured.mtls("replica"), labels),
        (secured.sasl("producer"), updates),
        (secured.sasl("producer"), letters_),
        (secured.sasl("trainer"), labels),
        (secured.sasl("stranger"), labels),
    ):
        assert not may_write(who, topic), f"{who.get('sasl.username', 'replica')} may write {topic}"
    for who, topic in (
        (secured.mtls("replica"), labels),
        (secured.sasl("producer"), labels),
        (secured.sasl("producer"), updates),
        (secured.sasl("trainer"), letters_),
        (secured.sasl("stranger"), updates),
    ):
        assert not may_read(who, topic), f"{who.get('sasl.username', 'replica')} may read {topic}"
    assert may_write(secured.sasl("producer"), labels)
    assert may_read(secured.mtls("replica"), updates)


def test_a_wrong_password_authority_or_missing_certificate_is_said_without_the_secret(
    secured: Secured, granted: str, nursery: Nursery, tmp_path: Path
) -> None:
    other = Authority(tmp_path, "others")
    without = secured.mtls("replica")
    del without["ssl.certificate.location"], without["ssl.key.location"]
    for number, options in enumerate(
        (
            secured.sasl("trainer", **{"sasl.password": "planted-and-wrong"}),
            secured.sasl("trainer", **{"ssl.ca.location": str(other.ca_file)}),
            without,
        )
    ):
        line = line_as(secured, options, granted, tmp_path / str(number), nursery)
        process = line.start("doctor")
        assert process.wait(60) == 1, process.text()
        assert "FAIL" in process.text()
        assert "planted" not in process.text()


def test_no_checkpoint_passes_a_dead_letter_that_the_trainer_may_not_write(
    secured: Secured, nursery: Nursery, tmp_path: Path
) -> None:
    """Row 12: the dead-letter topic denied. Training goes on; what is kept stands before the poison until then."""
    model = new_model()
    create_model_topics(secured.kafka.bootstrap_servers, model, 1)
    secured.grant(model)
    write = ("trainer", "topic", f"{model}.dead-letters", "Write")
    secured.take_away(binding(*write, kind_of=AclBindingFilter))
    running = line_as(secured, secured.sasl("trainer"), model, tmp_path, nursery)
    try:
        trainer = running.start_trainer()
        produce(secured.sasl("producer"), running.topics.labels, [*events(64), b"poison", *events(200, start=64)])
        wait_for(lambda: "Topic authorization failed" in trainer.text(), "the trainer says what it may not do")
        wait_for(lambda: num_learnt(trainer) > 64, "it trains on behind the poison", SETTLED_SECONDS)
        kept = newest_checkpoint(tmp_path / "state", model)
        assert kept is None or kept.offsets[0] <= 64, "no checkpoint stands behind the poison"
        assert letters(secured, model) == []
        secured.give(binding(*write))
        wait_for(lambda: letters(secured, model) == [b"poison"], "the poison is a dead letter", SETTLED_SECONDS)
        wait_for(lambda: (found := newest_checkpoint(tmp_path / "state", model)) and found.offsets[0] == 265, "saved")
        assert trainer.stop() == 0, trainer.text()
    finally:
        running.close()


def line_as(secured: Secured, options: Mapping[str, str], model: str, folder: Path, nursery: Nursery) -> Line:
    folder.mkdir(parents=True, exist_ok=True)
    text = configuration(model, options["bootstrap.servers"], folder / "state")
    keys = "".join(f'"{key}" = "{value}"\n' for key, value in options.items() if key != "bootstrap.servers")
    text = text.replace("[intake]", f"{keys}[intake]", 1)
    return Line(folder, secured.kafka.bootstrap_servers, model, text, nursery)


def num_learnt(trainer: Process) -> float:
    """By its own metrics."""
    metrics = trainer.says("metrics")
    assert metrics is not None
    with urllib.request.urlopen(str(metrics["url"]), timeout=5) as answer:
        found = re.search(rb"^penstock_events_learnt_total (\S+)$", answer.read(), re.MULTILINE)
    return float(found[1]) if found else 0.0


def letters(secured: Secured, model: str) -> list[bytes | None]:
    return [letter.value for letter in read_letters({**secured.local}, f"{model}.dead-letters")]


def produce(options: Mapping[str, str], topic: str, values: list[bytes]) -> None:
    producer = Producer({**options, "log_level": 0})
    failed: list[object] = []
    for value in values:
        producer.produce(topic, value, on_delivery=lambda error, _: failed.append(error) if error else None)
        producer.poll(0)
    assert producer.flush(30) == 0
    assert failed == []


def may_write(options: Mapping[str, str], topic: str) -> bool:
    outcomes: list[object] = []
    producer = Producer({**options, "log_level": 0, "message.timeout.ms": 10_000})
    producer.produce(topic, b"x", on_delivery=lambda error, _: outcomes.append(error))
    producer.flush(15)
    return outcomes == [None]


def may_read(options: Mapping[str, str], topic: str) -> bool:
    consumer = Consumer({**options, "group.id": "any", "log_level": 0, "enable.partition.eof": True})
    try:
        consumer.assign([TopicPartition(topic, 0, 0)])
        message = consumer.poll(15)
        assert message is not None, "neither an end nor an error came"
        error = message.error()
        return error is None or "authoriz" not in error.str().lower()
    except KafkaException:
        return False
    finally:
        consumer.close()
