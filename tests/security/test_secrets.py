"""Secrets planted in every place that takes one are found in nothing that Penstock writes."""

import urllib.request
from dataclasses import replace
from pathlib import Path

import pytest

from configurations import configuration, events, new_model
from line import Line
from mlflow_servers import MlflowServer
from nursery import Nursery
from penstock.adapters.kafka.local_kafka import LocalKafka
from penstock.errors import PenstockError
from penstock.processes.signing import publishing_keys
from penstock.settings import load, shown
from waiting import wait_for

MARK = "PLANTED"
KAFKA = """
"sasl.username" = "somebody"
"sasl.password" = "PLANTED-1"
"ssl.key.password" = "PLANTED-2"
"sasl.oauthbearer.client.secret" = "PLANTED-3"
"sasl.oauthbearer.config" = "secret=PLANTED-4"
"""


def planted(model: str, servers: str, address: str, folder: Path) -> str:
    """A configuration with a secret wherever there is room for one."""
    key = folder / "signing-key"
    key.write_text("PLANTED-5-of-some-length\n")
    uri = address.replace("//", "//PLANTED-6:PLANTED-7@")
    text = configuration(
        model, servers, folder / "state", tracking_uri=uri,
        more=f'[publish]\nsigning_key_file = "{key}"\n',
    )  # fmt: skip
    prefixes = '["mlflow-artifacts:/", "https://PLANTED-8:PLANTED-9@elsewhere/weights"]'
    text = text.replace("[intake]", f"{KAFKA}[intake]", 1)
    return text.replace("[serving]", f'[serving]\nsigning_key_file = "{key}"\nallowed_weights_prefixes = {prefixes}', 1)


def test_no_command_log_metric_or_record_shows_a_planted_secret(
    kafka: LocalKafka, shared_mlflow: MlflowServer, nursery: Nursery, tmp_path: Path
) -> None:
    model = new_model()
    text = planted(model, kafka.bootstrap_servers, shared_mlflow.tracking_uri, tmp_path)
    line, written = Line(tmp_path, kafka.bootstrap_servers, model, text, nursery), dict[str, bytes]()
    try:
        for command in (("topics", "create"), ("doctor",)):
            done = line.run(*command)
            written[" ".join(command)] = done.stdout + done.stderr
            assert done.returncode == 0, written
        assert b"serving key" in written["doctor"]
        trainer = line.start_trainer()
        replica, url = line.start_replica()
        line.produce([*events(200), b"no event"])
        wait_for(lambda: recorded(line), "a version is recorded in MLflow")
        metrics = trainer.says("metrics")
        assert metrics is not None
        for name, address in (("trainer's metrics", metrics["url"]), ("replica's metrics", f"{url}/metrics")):
            with urllib.request.urlopen(str(address), timeout=60) as answer:
                written[name] = answer.read()
        for command in (("status",), ("dead-letters", "list"), ("classes", "list")):
            done = line.run(*command)
            written[" ".join(command)] = done.stdout + done.stderr
        line.config.write_text(text.replace(f":{shared_mlflow.port}", ":9"))
        done = line.run("doctor")
        assert done.returncode == 1
        written["doctor without MLflow"] = done.stdout + done.stderr
        assert trainer.stop() == 0, trainer.text()
        assert replica.stop() == 0, replica.text()
        written["trainer"], written["replica"] = trainer.text().encode(), replica.text().encode()
    finally:
        line.close()
    for folder in (tmp_path / "state", shared_mlflow.home):
        written |= {str(file): file.read_bytes() for file in folder.rglob("*") if file.is_file()}
    assert any(file.endswith("server.db") for file in written)
    assert len(written) > 15
    found = {name for name, content in written.items() if MARK.encode() in content}
    assert not found, f"{found} show planted secrets"


def test_neither_representations_nor_sentences_show_them(tmp_path: Path) -> None:
    file = tmp_path / "penstock.toml"
    text = planted("m", "127.0.0.1:9", "http://127.0.0.1:9", tmp_path)
    file.write_text(text)
    settings = load(file)
    for what in (repr(settings), repr(settings.mlflow), str(shown(settings))):
        assert MARK not in what.replace(str(tmp_path), "")
    assert shown(settings)["kafka.sasl.password"] == "***"
    for name, content in {
        "a list for a password": text.replace('"PLANTED-1"', "[1]"),
        "another scheme": text.replace("http://PLANTED-6", "ftp://PLANTED-6"),
        "an owned key": text.replace('"sasl.username"', '"acks"'),
    }.items():
        file.write_text(content)
        with pytest.raises(PenstockError) as refused:
            load(file)
        assert MARK not in str(refused.value), name
    (tmp_path / "signing-key").write_text("PLANTED-5")
    with pytest.raises(PenstockError, match="a key has 9 bytes") as refused:
        publishing_keys(settings)
    assert MARK not in str(refused.value)
    with pytest.raises(PenstockError) as refused:
        replace(settings.serving, allowed_weights_prefixes=("https://PLANTED-8:PLANTED-9@elsewhere/%zz?",))
    assert MARK not in str(refused.value)


def recorded(line: Line) -> bool:
    from mlflow import MlflowClient

    uri = load(line.config).mlflow.tracking_uri
    return bool(MlflowClient(tracking_uri=uri).search_model_versions(f"name='{line.model}'"))
