"""`penstock produce` against a real Kafka: what is not delivered is said, and said at once where nothing can be."""

import json
from pathlib import Path

import pytest

from configurations import configuration, events
from kafka_brokers import create_topic, new_name
from penstock.adapters.kafka.local_kafka import LocalKafka
from penstock.errors import ConfigurationError, PenstockError, UnavailableError
from penstock.processes import produce
from penstock.settings import Settings, load


def settings_of(folder: Path, model: str, servers: str) -> Settings:
    path = folder / "penstock.toml"
    path.write_text(configuration(model, servers, folder / "state"))
    return load(path)


def test_what_the_broker_refuses_is_counted_and_fails(
    kafka: LocalKafka, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = new_name()
    create_topic(kafka.bootstrap_servers, f"{model}.labels", 1)
    first, second = events(2)
    mixed = tmp_path / "events.jsonl"
    mixed.write_bytes(b"\n".join([first, json.dumps("x" * 2_000_000).encode(), second]))
    settings = settings_of(tmp_path, model, kafka.bootstrap_servers)
    assert produce.run(settings, mixed, rate=None, rows_per_message=256) == 1
    said = capsys.readouterr()
    assert f"2 of 3 events delivered to {model}.labels" in said.out
    assert "1 not delivered: Broker: Message size too large" in said.err


@pytest.mark.parametrize(
    ("name", "error", "sentence"),
    [
        ("events.jsonl", ConfigurationError, "does not exist at .*; create it with `penstock topics create`"),
        ("no.parquet", ConfigurationError, "no.parquet is not a Parquet file that can be read"),
        ("none.jsonl", ConfigurationError, "There is no file .*none.jsonl"),
        ("torn.parquet", ConfigurationError, "torn.parquet is not a Parquet file that can be read"),
        ("events.csv", ConfigurationError, "events.csv is none of .jsonl, .ndjson, .json, .parquet"),
    ],
)
def test_what_cannot_be_produced_is_said_before_anything_is_sent(
    kafka: LocalKafka, tmp_path: Path, name: str, error: type[PenstockError], sentence: str
) -> None:
    for present in ("events.jsonl", "no.parquet", "torn.parquet", "events.csv"):
        (tmp_path / present).write_bytes(b"PAR1")
    settings = settings_of(tmp_path, new_name(), kafka.bootstrap_servers)
    with pytest.raises(error, match=sentence):
        produce.run(settings, tmp_path / name, rate=None, rows_per_message=256)


def test_a_broker_that_is_away_is_named(tmp_path: Path, unused_address: str) -> None:
    (tmp_path / "events.jsonl").write_bytes(b"{}")
    settings = settings_of(tmp_path, new_name(), unused_address)
    with pytest.raises(UnavailableError, match=unused_address):
        produce.run(settings, tmp_path / "events.jsonl", rate=None, rows_per_message=256)
