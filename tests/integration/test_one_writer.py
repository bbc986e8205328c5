"""Two trainers on one model: the newer wins, the older leaves loudly, replicas never go back."""

from pathlib import Path

from configurations import configuration, events, new_model
from kafka_brokers import Broker
from line import line
from nursery import Nursery
from waiting import wait_for


def test_the_older_trainer_stops_with_a_sentence_and_the_newer_goes_on(
    broker: Broker, tmp_path: Path, nursery: Nursery
) -> None:
    model = new_model()
    broker.create_model_topics(model)
    text = configuration(model, broker.bootstrap_servers, tmp_path / "older")
    with line(tmp_path, broker.bootstrap_servers, model, text, nursery) as running:
        older = running.start_trainer()
        first = running.wait_until_announced(running.produce(events(200)))
        running.config.write_text(text.replace(str(tmp_path / "older"), str(tmp_path / "newer")))
        newer = running.start_trainer()
        wait_for(lambda: newer.says("learning on"), "the newer trainer has claimed and learns")
        running.produce(events(200, seed=1))
        assert older.wait() == 1
        assert "claim" in older.last_words(), older.text()
        assert "Traceback" not in older.text()
        assert "checkpoint not written" not in older.text()
        second = running.wait_until_announced(400)
        assert second.epoch > first.epoch
        assert second.version > first.version
        assert newer.is_running
