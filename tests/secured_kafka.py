"""A Kafka with TLS, SASL and an authorizer, and who may do what there by docs/security.md."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from confluent_kafka import Producer
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # re-exported without __all__
    AclBinding,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
)

from certificates import Authority
from configurations import configuration
from line import Line
from nursery import Nursery
from penstock.adapters.kafka.dead_letter_reader import read_letters
from penstock.adapters.kafka.local_kafka import LocalKafka

DOCUMENT = Path(__file__).parents[1] / "docs" / "security.md"
RIGHT = re.compile(r"^\| ([\w, -]+) \| (topic|group) \| `([^`]+)` \| ([\w, ]+) \|$", re.MULTILINE)
LINE = {"trainer": "trainer", "replica": "replica", "producer": "producer"}
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


def line_as(
    secured: Secured, options: Mapping[str, str], model: str, folder: Path, nursery: Nursery, more: str = ""
) -> Line:
    folder.mkdir(parents=True, exist_ok=True)
    text = configuration(model, options["bootstrap.servers"], folder / "state", more=more)
    keys = "".join(f'"{key}" = "{value}"\n' for key, value in options.items() if key != "bootstrap.servers")
    text = text.replace("[intake]", f"{keys}[intake]", 1)
    return Line(folder, secured.kafka.bootstrap_servers, model, text, nursery)


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
