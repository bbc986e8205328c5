"""A class moves to another model as a file, or it is said why not."""

from pathlib import Path

from class_commands import answered, classes, refused_at_once, said, wait_until_served
from configurations import configuration, events, new_model
from line import Line, line
from nursery import Nursery
from penstock.adapters.kafka.local_kafka import LocalKafka
from waiting import wait_for


def test_a_class_moves_to_another_model_as_a_file(
    running: Line, kafka: LocalKafka, tmp_path: Path, nursery: Nursery
) -> None:
    trainer = running.start_trainer()
    running.wait_until_announced(running.produce(events(600)))
    file = tmp_path / "class-0.safetensors"
    assert f"written to {file}" in said(running, "export", "class-0", "--output", str(file))
    assert trainer.stop() == 0

    other = new_model()
    text = configuration(other, kafka.bootstrap_servers, tmp_path / "other")
    with line(tmp_path / "second", kafka.bootstrap_servers, other, text, nursery) as second:
        assert second.run("topics", "create").returncode == 0
        second.start_trainer()
        _, url = second.start_replica()
        others = [value for value in events(600, seed=3) if b'"class-0"' not in value]
        second.wait_until_announced(second.produce(others))
        assert "has it." in said(second, "import", str(file), "--name", "moved", "--wait")
        wait_until_served(second, url)
        assert answered(url, other, 0) == "moved"
        assert answered(url, other, 2) == "class-2"
        assert classes(second)["moved"]["events"] > 0
        assert "is live in this model" in refused_at_once(second, "import", str(file), "--name", "moved", "--wait")
        assert "which has 1 to 256 characters" in refused_at_once(second, "import", str(file), "--name", "")
        assert "which has 1 to 256 characters" in refused_at_once(second, "import", str(file), "--name", "n" * 257)
        with_analytic = second.config.read_text()
        second.config.write_text(with_analytic.replace("[model]", '[model]\nheads = ["linear"]'))
        assert "model.heads has no 'analytic'" in refused_at_once(second, "import", str(file), "--name", "again")
        second.config.write_text(with_analytic.replace("[model]", "[model]\nmax_classes = 4"))
        assert "The model has 4 classes" in refused_at_once(second, "import", str(file), "--name", "again")
        second.config.write_text(with_analytic)
        file.write_bytes(b"no packet")
        assert "not a packet" in refused_at_once(second, "import", str(file))


def test_an_import_that_the_trainer_refuses_ends_with_1_and_its_sentence(running: Line, tmp_path: Path) -> None:
    trainer = running.start_trainer()
    running.wait_until_announced(running.produce(events(300)))
    file = str(tmp_path / "class-0.safetensors")
    said(running, "export", "class-0", "--output", file)
    assert trainer.stop() == 0
    said(running, "import", file, "--name", "twin")
    second = running.start("classes", "import", file, "--name", "twin", "--wait")
    wait_for(lambda: "import class 'twin': event 0:" in second.text(), "both controls stand in the log")
    running.start_trainer()
    assert second.wait() == 1, second.text()
    assert "but the trainer refused it: Class 'twin' is live in this model; give the packet's" in second.text()
    assert "Traceback" not in second.text()
    assert classes(running)["twin"]["state"] == "live", "the first of them was carried out"


def test_a_class_may_come_before_anything_was_learnt(running: Line, tmp_path: Path) -> None:
    trainer = running.start_trainer()
    running.wait_until_announced(running.produce(events(100)))
    file = str(tmp_path / "class-0.safetensors")
    said(running, "export", "class-0", "--output", file)
    assert trainer.stop() == 0
    fresh = new_model()
    running.config.write_text(running.config.read_text().replace(running.model, fresh))
    assert running.run("topics", "create").returncode == 0
    assert "import class 'class-0': event 0:0 of" in said(running, "import", file)
