"""What `penstock status` makes of the update topic and of the replicas' answers."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from configurations import configuration, new_model
from embedded_brokers import RunningBroker
from http_replica import http_replica
from kafka_brokers import embedded, produce
from penstock.processes import status
from penstock.processes.status import Status, speed, table
from penstock.settings import load
from served_models import PIXELS, served
from unsteady_proxy import UnsteadyProxy, Weather
from update_records import update_of, write_as_another

UPDATE = replace(
    update_of("m", version=7, epoch=2),
    announced_at_ms=1_700_000_010_000,
    metrics={"events_learnt": 1234.0, "classes": 3.0, "prequential_accuracy": 0.8125},
)
STATUS = Status(
    model="m",
    update=UPDATE,
    events_per_second=1500.04,
    lag_events=42,
    replicas={"http://a": "version 7"},
    now_ms=1_700_000_012_500,
)


def test_the_table_says_how_it_is() -> None:
    assert table(STATUS).splitlines() == [
        "model             m",
        "version           7 (epoch 2), announced 2.5 s ago",
        "trained until     2023-11-14T22:13:20.007Z",
        "events learnt     1,234",
        "events/s          1,500.0",
        "classes           3",
        "accuracy          0.812 prequential, before learning",
        "lag               42 messages behind the end of the label topic",
        "replica http://a  version 7",
    ]


def test_the_document_says_the_same() -> None:
    said = STATUS.to_json()
    assert (said["version"], said["epoch"], said["age_seconds"]) == (7, 2, 2.5)
    assert (said["events_per_second"], said["lag_events"]) == (1500.04, 42)
    assert said["metrics"]["prequential_accuracy"] == 0.8125
    assert (said["trained_until"], said["announced_at"]) == ("2023-11-14T22:13:20.007Z", "2023-11-14T22:13:30.000Z")


def test_a_clock_that_is_behind_makes_no_age_negative() -> None:
    assert replace(STATUS, now_ms=1_700_000_000_000).age_seconds == 0


def test_the_speed_is_of_what_was_learnt_between_two_updates() -> None:
    later = replace(UPDATE, version=8, announced_at_ms=UPDATE.announced_at_ms + 500, metrics={"events_learnt": 1334.0})
    assert speed(UPDATE, later) == 200
    assert speed(UPDATE, UPDATE) == 0
    assert speed(None, UPDATE) is None


def test_lag_and_versions_are_read_from_topics_and_replicas(
    embedded_broker: RunningBroker, tmp_path: Path, capsys: pytest.CaptureFixture[str], unused_address: str
) -> None:
    broker, model = embedded(embedded_broker), new_model()
    broker.create_model_topics(model, label_partitions=1)
    file = tmp_path / "penstock.toml"
    file.write_text(configuration(model, broker.bootstrap_servers, tmp_path / "state"))
    produce(broker.bootstrap_servers, f"{model}.labels", [b"event"] * 10)
    with http_replica(replace(PIXELS, name=model)) as waiting, http_replica(replace(PIXELS, name=model)) as ready:
        ready.slot.current = served(3)
        urls = {name: f"http://127.0.0.1:{one.port}" for name, one in (("waiting", waiting), ("ready", ready))}
        addresses = [*urls.values(), f"http://{unused_address}"]
        assert status.run(load(file, {}), replicas=addresses, as_json=True) == 1
        said = json.loads(capsys.readouterr().out)
        assert (said["version"], said["lag_events"], said["events_per_second"]) == (None, 10, None)
        write_as_another(broker.bootstrap_servers, model, update_of(model, version=4))
        assert status.run(load(file, {}), replicas=addresses, as_json=True) == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["version"], said["lag_events"], said["events_per_second"]) == (4, 6, 0)
    assert said["replicas"][urls["ready"]] == "version 3"
    assert said["replicas"][urls["waiting"]] == "not ready"
    assert said["replicas"][f"http://{unused_address}"].startswith("does not answer (")


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (b"not http at all\r\n\r\n", "does not answer"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]", "answers as no replica does"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", "answers as no replica does"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nhtml", "answers as no replica does"),
        (b"", "does not answer"),
    ],
)
def test_what_is_no_replica_is_said_in_words(answer: bytes, said: str) -> None:
    with UnsteadyProxy() as proxy:
        proxy.weather = Weather(answers=answer) if answer else Weather(refuses=True)
        assert status._served_version(f"http://{proxy.address}", "m").startswith(said)
