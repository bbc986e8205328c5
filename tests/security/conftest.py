"""A secured Kafka, shared by a file: give models names of their own."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from certificates import Authority
from configurations import new_model
from kafka_brokers import create_model_topics
from penstock.adapters.kafka.local_kafka import LocalKafka
from secured_kafka import LOG_ALLOWED, PASSWORDS, Secured, binding, documented


@pytest.fixture(scope="module")  # a list of topics names those of other files, too
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
