"""Every failpoint is come by: a name at which nothing can be made to die would be tried in vain."""

from pathlib import Path

from configurations import configuration, events, new_model
from forked_changes import PASSES
from line import line, served_version
from nursery import Nursery
from penstock.adapters.kafka.local_kafka import LocalKafka
from penstock.failpoints import NAMES
from waiting import wait_for


def test_trainer_intake_and_replica_come_by_all_of_them(kafka: LocalKafka, nursery: Nursery, tmp_path: Path) -> None:
    model, passes = new_model(), tmp_path / "passes"
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    text = configuration(model, kafka.bootstrap_servers, tmp_path / "state", tracking_uri=uri)
    noting = {PASSES: str(passes)}
    with line(tmp_path, kafka.bootstrap_servers, model, text, nursery) as running:
        assert running.run("topics", "create").returncode == 0
        trainer = running.start_trainer(noting)
        replica = running.start("serve", "--port", "0", environ=noting)
        url = str(wait_for(lambda: replica.says("listening"), "the replica listens")["url"])
        update = running.wait_until_announced(running.produce([*events(100), b"poison"]))
        wait_for(lambda: served_version(url, model) >= update.version, "the replica serves")
        wait_for(lambda: "record.aliased" in passes.read_text(), "it is recorded")
        assert trainer.stop() == 0, trainer.text()
    assert set(passes.read_text().split()) == set(NAMES)
