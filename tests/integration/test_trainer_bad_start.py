"""What an operator did wrong ends the trainer with one sentence; what is away is waited for."""

from pathlib import Path

import pytest

from configurations import configuration, events, new_model
from kafka_brokers import create_topic
from line import Line, line
from nursery import Nursery
from penstock.adapters.kafka.local_kafka import LocalKafka
from waiting import wait_for


def ending(running: Line) -> str:
    """The last words of a trainer that stops by itself with exit code 1."""
    trainer = running.start_trainer()
    assert trainer.wait() == 1, trainer.text()
    assert "Traceback" not in trainer.text()
    return trainer.last_words()


def test_missing_topics_are_named_with_the_command_that_makes_them(
    kafka: LocalKafka, tmp_path: Path, nursery: Nursery
) -> None:
    model = new_model()
    text = configuration(model, kafka.bootstrap_servers, tmp_path / "state")
    with line(tmp_path, kafka.bootstrap_servers, model, text, nursery) as running:
        last_words = ending(running)
        assert f"{model}." in last_words
        assert "penstock topics create" in last_words
        doctor = running.run("doctor")
        assert doctor.returncode == 1
        assert f"{model}.labels".encode() in doctor.stdout


@pytest.mark.parametrize(("partitions", "policy", "word"), [(3, "compact", "partition"), (1, "delete", "compact")])
def test_an_update_topic_of_the_wrong_shape_is_refused(
    kafka: LocalKafka, tmp_path: Path, partitions: int, policy: str, word: str, nursery: Nursery
) -> None:
    model = new_model()
    create_topic(kafka.bootstrap_servers, f"{model}.labels", 1)
    create_topic(kafka.bootstrap_servers, f"{model}.dead-letters", 1)
    create_topic(kafka.bootstrap_servers, f"{model}.updates", partitions, {"cleanup.policy": policy})
    text = configuration(model, kafka.bootstrap_servers, tmp_path / "state")
    with line(tmp_path, kafka.bootstrap_servers, model, text, nursery) as running:
        last_words = ending(running)
        assert f"{model}.updates" in last_words
        assert word in last_words
        doctor = running.run("doctor")
        assert doctor.returncode == 1
        assert word.encode() in doctor.stdout


def test_a_broker_that_is_away_is_waited_for_and_doctor_says_so_at_once(
    tmp_path: Path, nursery: Nursery, unused_address: str
) -> None:
    model = new_model()
    text = configuration(model, unused_address, tmp_path / "state")
    with line(tmp_path, unused_address, model, text, nursery) as running:
        trainer = running.start_trainer()
        waiting = wait_for(lambda: trainer.says("waiting"), "the trainer says that it waits")
        assert unused_address in str(waiting["reason"])
        assert trainer.is_running
        doctor = running.run("doctor")
        assert doctor.returncode == 1
        assert unused_address.encode() in doctor.stdout
        assert trainer.stop() == 0


def test_a_state_folder_of_another_schema_or_in_use_is_refused(
    kafka: LocalKafka, tmp_path: Path, nursery: Nursery
) -> None:
    model = new_model()
    text = configuration(model, kafka.bootstrap_servers, tmp_path / "state")
    with line(tmp_path, kafka.bootstrap_servers, model, text, nursery) as running:
        assert running.run("topics", "create").returncode == 0
        trainer = running.start_trainer()
        running.wait_until_announced(running.produce(events(100)))
        assert str(trainer.pid) in ending(running)
        running.produce(events(100, seed=1))
        running.wait_until_announced(200)  # the one that was refused has not fenced it
        assert trainer.stop() == 0
        running.config.write_text(configuration(model, kafka.bootstrap_servers, tmp_path / "state", width=9))
        assert "schema" in ending(running)


def test_a_state_folder_that_cannot_be_made_is_named(kafka: LocalKafka, tmp_path: Path, nursery: Nursery) -> None:
    model = new_model()
    in_the_way = tmp_path / "state"
    in_the_way.write_text("a file")
    text = configuration(model, kafka.bootstrap_servers, in_the_way)
    with line(tmp_path, kafka.bootstrap_servers, model, text, nursery) as running:
        assert running.run("topics", "create").returncode == 0
        assert str(in_the_way) in ending(running)
        assert b"FAIL" in running.run("doctor").stdout


def test_a_poisoned_stream_stops_the_trainer_before_it_drains(
    kafka: LocalKafka, tmp_path: Path, nursery: Nursery
) -> None:
    model = new_model()
    intake = "max_events = 32\ninvalid_window = 200\nmax_invalid_run = 100"
    text = configuration(model, kafka.bootstrap_servers, tmp_path / "state", intake=intake)
    with line(tmp_path, kafka.bootstrap_servers, model, text, nursery) as running:
        assert running.run("topics", "create").returncode == 0
        running.produce([*events(50), *[b"not json"] * 500])
        last_words = ending(running)
        assert "invalid" in last_words
        assert "100" in last_words


def test_a_thousand_new_classes_in_one_batch_are_learnt_and_published(
    kafka: LocalKafka, tmp_path: Path, nursery: Nursery
) -> None:
    model = new_model()
    text = configuration(
        model,
        kafka.bootstrap_servers,
        tmp_path / "state",
        intake="max_events = 1000",
        tracking_uri=f"sqlite:///{tmp_path / 'mlflow.db'}",  # so many classes are too large to travel inline
    )
    with line(tmp_path, kafka.bootstrap_servers, model, text, nursery) as running:
        assert running.run("topics", "create", "--partitions", "1").returncode == 0
        running.produce(
            value.replace(b'"class-0"', f'"name-{index}"'.encode())
            for index, value in enumerate(events(1000, classes=1))
        )
        running.start_trainer()
        assert running.wait_until_announced(1000).metrics["classes"] == 1000
