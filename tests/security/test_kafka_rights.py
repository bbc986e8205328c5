"""TLS, certificates, SASL and Kafka's own authorizer: docs/security.md lists the rights that are asked for."""

import re
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
from confluent_kafka import Consumer, KafkaError, Producer, TopicPartition
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # re-exported without __all__
    AclBinding,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
)

from certificates import Authority
from configurations import configuration, events, new_model, question
from kafka_brokers import create_model_topics
from line import Line, Process, ask, served_version
from nursery import Nursery
from penstock.adapters.kafka.dead_letter_reader import read_letters
from penstock.adapters.kafka.local_kafka import LocalKafka
from penstock.adapters.kafka.topic_ends import read_ends
from penstock.wire.event_writer import json_event
from penstock.wire.replay import ReplayNote, encode_note
from verifying.learnt import newest_checkpoint
from waiting import wait_for

DOCUMENT = Path(__file__).parents[2] / "docs" / "security.md"
RIGHT = re.compile(r"^\| ([\w, -]+) \| (topic|group) \| `([^`]+)` \| ([\w, ]+) \|$", re.MULTILINE)
LINE = {"trainer": "trainer", "replica": "replica", "producer": "producer"}
COMMANDS = {
    "replica that logs predictions": "replica",
    "trainer with late labels": "trainer",
    "dead-letters list, show, export": "reader",
    "dead-letters replay": "replayer",
    "topics create": "creator",
    "doctor": "doctor",
}
"""Who the document names, and as which user the test does it."""
PASSWORDS = {
    "trainer": "planted-of-the-trainer",
    "producer": "planted-of-the-producer",
    "stranger": "planted-of-nobody",
    "reader": "planted-of-the-reader",
    "replayer": "planted-of-the-replayer",
    "creator": "planted-of-the-creator",
    "doctor": "planted-of-the-doctor",
}
USERS = (*PASSWORDS, "replica")
LOGGED = "[serving.prediction_log]\nenabled = true"
LOG_ALLOWED = "-Dorg.slf4j.simpleLogger.log.kafka.authorizer.logger=debug"
"""What Kafka's authorizer allows goes to the broker's log as well, not only what it denies."""
ASKED = re.compile(r"Principal = User:(\w+) is (Allowed|Denied) operation = (\w+) from host = \S+ on resource = (\S+)")

Right = tuple[str, str, str, str]
"""Who, on what kind of resource, by which name, may do what."""


@dataclass(frozen=True, kw_only=True)
class Secured:
    """A Kafka with an authorizer; nobody but the local administrator has any right at the start."""

    kafka: LocalKafka
    authority: Authority
    replica: Path
    """Its key and certificate."""

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

    @property
    def mtls(self) -> dict[str, str]:
        """`[kafka]` keys to log in with the replica's certificate."""
        return {
            "bootstrap.servers": self.kafka.addresses["CERTIFICATES"],
            "security.protocol": "SSL",
            "ssl.ca.location": str(self.authority.ca_file),
            "ssl.certificate.location": str(self.replica),
            "ssl.key.location": str(self.replica),
        }

    @property
    def local(self) -> dict[str, str]:
        """The administrator's way in."""
        return {"bootstrap.servers": self.kafka.bootstrap_servers}

    def give(self, *bindings: AclBinding) -> None:
        """Returns once the rights hold."""
        admin = AdminClient({**self.local, "log_level": 0})
        for outcome in admin.create_acls([*bindings]).values():
            outcome.result(60)

    def asked(self, answer: str, since: int) -> set[Right]:
        """What the authorizer has `Allowed` or `Denied` to the users, from this byte of its log on."""
        with self.kafka.log_file.open("rb") as log:
            log.seek(since)
            found = ASKED.findall(log.read().decode())
        places = ((who, operation, place.split(":")) for who, said, operation, place in found if said == answer)
        return {(who, place[0].lower(), place[-1], operation) for who, operation, place in places if who in USERS}


def documented(model: str, users: Mapping[str, str] = LINE) -> set[Right]:
    """What the document says of one model, of those whose user is given."""
    return {
        (users[who], kind, name.replace("<model>", model), re.sub(r"(?<=[a-z])(?=[A-Z])", "_", operation).upper())
        for who, kind, name, operations in RIGHT.findall(DOCUMENT.read_text(encoding="utf-8"))
        if who in users
        for operation in operations.split(", ")
    }


def binding(who: str, kind: str, name: str, operation: str) -> AclBinding:
    return AclBinding(
        ResourceType[kind.upper()],
        name,
        ResourcePatternType.LITERAL,
        f"User:{who}",
        "*",
        AclOperation[operation],
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
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("JDK_JAVA_OPTIONS", LOG_ALLOWED)
        with LocalKafka(folder / "kafka", libs=kafka_libs, properties=properties, listeners=listeners) as kafka:
            yield Secured(kafka=kafka, authority=authority, replica=authority.issue("replica"))


@pytest.fixture
def granted(secured: Secured) -> str:
    """A model whose topics exist, and for which exactly the document's rights are given."""
    model = new_model()
    create_model_topics(secured.kafka.bootstrap_servers, model)
    secured.give(*(binding(*right) for right in documented(model)))
    return model


def test_a_whole_line_over_tls_asks_for_exactly_the_documented_rights(
    secured: Secured, granted: str, nursery: Nursery, tmp_path: Path
) -> None:
    since = secured.kafka.log_file.stat().st_size
    with_password = line_as(secured, secured.sasl("trainer"), granted, tmp_path / "trainer", nursery)
    with_certificate = line_as(secured, secured.mtls, granted, tmp_path / "replica", nursery)
    try:
        trainer = with_password.start_trainer()
        replica, url = with_certificate.start_replica()
        produce(secured.sasl("producer"), with_password.topics.labels, [*events(100), b"poison"])
        update = with_password.wait_until_announced(101)
        wait_for(lambda: served_version(url, granted) >= update.version, "the replica serves it")
        assert letters(secured, granted) == [b"poison"]
        assert trainer.stop() == 0, trainer.text()
        assert replica.stop() == 0, replica.text()
        another = with_password.start_trainer()  # it finds updates to read
        wait_for(lambda: another.says("reading labels"), "another trainer goes on")
        assert another.stop() == 0, another.text()
    finally:
        with_password.close()
        with_certificate.close()
    assert secured.asked("Denied", since) == set()
    assert secured.asked("Allowed", since) == documented(granted)
    for text in (trainer.text(), replica.text(), another.text()):
        assert "authorization" not in text.lower(), text
        assert not any(password in text for password in PASSWORDS.values())
    checkpoint = newest_checkpoint(tmp_path / "trainer" / "state", granted)
    assert checkpoint is not None
    assert checkpoint.events_learnt == 100


def test_nobody_can_do_what_is_not_in_the_table(secured: Secured, granted: str) -> None:
    labels, updates, dead_letters = (f"{granted}.{kind}" for kind in ("labels", "updates", "dead-letters"))
    replica, producer, trainer, stranger = secured.mtls, *map(secured.sasl, ("producer", "trainer", "stranger"))
    may_not_write = ((replica, updates), (replica, labels), (producer, updates), (producer, dead_letters))
    for who, topic in (*may_not_write, (trainer, labels), (stranger, labels)):
        assert not may_write(who, topic), f"{who.get('sasl.username', 'replica')} may write {topic}"
    may_not_read = ((replica, labels), (producer, labels), (producer, updates), (trainer, dead_letters))
    for who, topic in (*may_not_read, (stranger, updates)):
        assert not may_read(who, topic), f"{who.get('sasl.username', 'replica')} may read {topic}"
    assert may_write(producer, labels)
    assert may_read(replica, updates)


def test_late_labels_and_the_commands_ask_for_exactly_what_is_documented_of_them(
    secured: Secured, nursery: Nursery, tmp_path: Path
) -> None:
    model = new_model()
    expected = documented(model) | documented(model, COMMANDS)
    secured.give(*(binding(*right) for right in expected))
    since = secured.kafka.log_file.stat().st_size
    users = ("creator", "doctor", "trainer", "reader", "replayer")
    lines = {user: line_as(secured, secured.sasl(user), model, tmp_path / user, nursery, LOGGED) for user in users}
    lines["replica"] = line_as(secured, secured.mtls, model, tmp_path / "replica", nursery, LOGGED)
    try:
        succeed(lines["creator"], "topics", "create", "--partitions", "1")
        succeed(lines["doctor"], "doctor")
        trainer = lines["trainer"].start_trainer()
        _, url = lines["replica"].start_replica()
        labels = f"{model}.labels"
        produce(secured.sasl("producer"), labels, [*events(100), b"poison", b"more of it"])
        update = lines["trainer"].wait_until_announced(102)
        wait_for(lambda: served_version(url, model) >= update.version, "the replica serves it")
        status, answer = ask(f"{url}/v2/models/{model}/infer", question(1, label=0))
        assert status == 200, answer
        of = answer["parameters"]["prediction_id"]
        produce(secured.sasl("producer"), labels, [json_event(event_id="late", prediction_id=of, label="class-0")])
        assert lines["trainer"].wait_until_announced(103).metrics["events_learnt"] == 101
        assert trainer.stop() == 0, trainer.text()
        succeed(lines["reader"], "dead-letters", "list")
        succeed(lines["reader"], "dead-letters", "show", "0:0")
        succeed(lines["reader"], "dead-letters", "export", str(tmp_path / "letters.parquet"))
        begin_a_replay(secured, model)
        succeed(lines["replayer"], "dead-letters", "replay")
    finally:
        for each in lines.values():
            each.close()
    # A client that reads no group asks for it when it lives long enough, and does without.
    harmless = {(user, "group", "penstock", "DESCRIBE") for user in ("creator", "doctor")}
    assert secured.asked("Denied", since) <= harmless
    names = {name for _, _, name, _ in expected}  # who asks what topics there are is asked about those of other tests
    allowed = {right for right in secured.asked("Allowed", since) if right[2] in names}
    seldom = {("trainer", "topic", f"{model}.updates", "READ"), ("replayer", "topic", labels, "READ")}  # what is there
    assert allowed <= expected
    assert expected - allowed <= seldom


def test_letters_are_read_without_a_right_on_the_group(secured: Secured, nursery: Nursery, tmp_path: Path) -> None:
    model = new_model()
    create_model_topics(secured.kafka.bootstrap_servers, model)
    secured.give(*(binding(*right) for right in documented(model, COMMANDS) if right[1] == "topic"))
    produce(secured.local, f"{model}.dead-letters", [b"a letter"])
    reading = line_as(secured, secured.sasl("reader"), model, tmp_path, nursery)
    since = secured.kafka.log_file.stat().st_size
    try:
        listed = reading.run("dead-letters", "list")
    finally:
        reading.close()
    assert listed.returncode == 0, listed.stderr
    assert b"a letter" in listed.stdout
    assert secured.asked("Denied", since) <= {("reader", "group", "penstock", "DESCRIBE")}


def succeed(running: Line, *command: str) -> None:
    done = running.run(*command)
    assert done.returncode == 0, (done.stdout + done.stderr).decode()


def begin_a_replay(secured: Secured, model: str) -> None:
    """As one that is broken off before it has sent the first letter."""
    ends = read_ends(secured.local, f"{model}.labels").next
    value, headers = encode_note(ReplayNote(state="begun", offsets=(0,), label_ends=dict(ends)))
    producer = Producer({**secured.local, "log_level": 0})
    producer.produce(f"{model}.dead-letters", value, headers=[*headers])
    assert producer.flush(30) == 0


def test_a_wrong_password_authority_or_missing_certificate_is_said_without_the_secret(
    secured: Secured, granted: str, nursery: Nursery, tmp_path: Path
) -> None:
    wrong = {
        "password": secured.sasl("trainer", **{"sasl.password": "planted-and-wrong"}),
        "authority": secured.sasl("trainer", **{"ssl.ca.location": str(Authority(tmp_path, "others").ca_file)}),
        "certificate": {key: value for key, value in secured.mtls.items() if value != str(secured.replica)},
    }
    lines = [line_as(secured, options, granted, tmp_path / what, nursery) for what, options in wrong.items()]
    doctors = [line.start("doctor") for line in lines]
    try:
        for doctor in doctors:
            assert doctor.wait() == 1, doctor.text()
            assert "FAIL" in doctor.text()
            assert "planted" not in doctor.text()
    finally:
        for line in lines:
            line.close()


def test_no_checkpoint_passes_a_dead_letter_that_the_trainer_may_not_write(
    secured: Secured, nursery: Nursery, tmp_path: Path
) -> None:
    """Row 12: the dead-letter topic denied. Training goes on; what is kept stands before the poison until then."""
    model = new_model()
    create_model_topics(secured.kafka.bootstrap_servers, model, 1)
    write = ("trainer", "topic", f"{model}.dead-letters", "WRITE")
    secured.give(*(binding(*right) for right in documented(model) - {write}))
    running = line_as(secured, secured.sasl("trainer"), model, tmp_path, nursery)
    try:
        trainer = running.start_trainer()
        produce(secured.sasl("producer"), running.topics.labels, [*events(64), b"poison", *events(200, start=64)])
        wait_for(lambda: "Topic authorization failed" in trainer.text(), "the trainer says what it may not do")
        wait_for(lambda: num_learnt(trainer) > 64, "it trains on behind the poison")
        kept = newest_checkpoint(tmp_path / "state", model)
        assert kept is None or kept.offsets[0] <= 64, "no checkpoint stands behind the poison"
        assert letters(secured, model) == []
        secured.give(binding(*write))
        wait_for(lambda: letters(secured, model) == [b"poison"], "the poison is a dead letter")
        wait_for(lambda: (found := newest_checkpoint(tmp_path / "state", model)) and found.offsets[0] == 265, "saved")
        assert trainer.stop() == 0, trainer.text()
    finally:
        running.close()


def line_as(
    secured: Secured, options: Mapping[str, str], model: str, folder: Path, nursery: Nursery, more: str = ""
) -> Line:
    folder.mkdir(parents=True, exist_ok=True)
    text = configuration(model, options["bootstrap.servers"], folder / "state", more=more)
    keys = "".join(f'"{key}" = "{value}"\n' for key, value in options.items() if key != "bootstrap.servers")
    text = text.replace("[intake]", f"{keys}[intake]", 1)
    return Line(folder, secured.kafka.bootstrap_servers, model, text, nursery)


def num_learnt(trainer: Process) -> float:
    """By its own metrics."""
    metrics = trainer.says("metrics")
    assert metrics is not None
    with urllib.request.urlopen(str(metrics["url"]), timeout=60) as answer:
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
    assert producer.flush(60) == 0
    assert failed == []


def may_write(options: Mapping[str, str], topic: str) -> bool:
    outcomes: list[KafkaError | None] = []
    producer = Producer({**options, "log_level": 0, "message.timeout.ms": 60_000})
    producer.produce(topic, b"x", on_delivery=lambda error, _: outcomes.append(error))
    producer.flush(90)
    return is_allowed(outcomes[0])


def may_read(options: Mapping[str, str], topic: str) -> bool:
    ignored = {"group.id": "penstock"}  # not every one of them may look for it, which is another question
    consumer = Consumer({**options, **ignored, "log_level": 0, "enable.partition.eof": True})
    try:
        if not is_allowed(consumer.list_topics(topic, timeout=60).topics[topic].error):
            return False  # nobody would say so of an assignment
        consumer.assign([TopicPartition(topic, 0, 0)])
        while (message := consumer.poll(60)) is not None:
            error = message.error()
            if error is None or error.code() != KafkaError.GROUP_AUTHORIZATION_FAILED:
                return is_allowed(error)
        raise AssertionError("neither a message, nor an end, nor an error came")
    finally:
        consumer.close()


def is_allowed(error: KafkaError | None) -> bool:
    """Any other error fails the test."""
    if error is None or error.code() == KafkaError._PARTITION_EOF:
        return True
    assert error.code() == KafkaError.TOPIC_AUTHORIZATION_FAILED, error.str()
    return False
