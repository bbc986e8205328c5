"""`penstock classes`: what the operator asks of classes goes through the label topic and comes back as a version."""

import json
from pathlib import Path

from class_commands import answered, classes, said, wait_until_served
from configurations import events
from line import Line
from penstock.adapters.kafka.dead_letter_reader import read_letters
from penstock.wire.control import CONTROL_TYPE
from waiting import wait_for


def test_a_class_sleeps_wakes_by_its_first_event_and_is_retired(running: Line) -> None:
    trainer = running.start_trainer()
    _, url = running.start_replica()
    running.wait_until_announced(running.produce(events(600)))
    wait_until_served(running, url)
    assert answered(url, running.model, 1) == "class-1"
    before = classes(running)
    assert {each["state"] for each in before.values()} == {"live"}
    assert sum(each["events"] for each in before.values()) == 600
    assert all(each["rows"] > 0 and each["recall"] > 0.5 for each in before.values())

    text = said(running, "hibernate", "class-1", "--wait")
    assert "hibernate 'class-1': event 0:" in text
    assert "has it." in text
    wait_until_served(running, url)
    assert answered(url, running.model, 1) != "class-1"
    others = [value for value in events(90, seed=1) if b'"class-1"' not in value]
    running.wait_until_announced(601 + running.produce(others))
    asleep = classes(running)["class-1"]
    assert (asleep["state"], asleep["rows"], asleep["events"]) == ("hibernated", 0, before["class-1"]["events"])
    (packet,) = (running.directory / "state" / running.model / "packets").iterdir()
    assert packet.stat().st_size < 16_000
    assert trainer.says("hibernate applied") is not None

    one = [value for value in events(40, seed=2) if b'"class-1"' in value][:1]
    running.wait_until_announced(601 + len(others) + running.produce(one))
    wait_until_served(running, url)
    assert classes(running)["class-1"]["state"] == "live"
    assert answered(url, running.model, 1) == "class-1"
    assert trainer.says("classes woken by events of theirs") is not None

    assert "has it." in said(running, "retire", "class-1", "--wait")
    said(running, "wake", "class-1", code=1)
    assert classes(running)["class-1"]["state"] == "retired"
    assert trainer.stop() == 0


def test_a_change_that_the_trainer_refuses_ends_with_1_and_its_sentence(running: Line) -> None:
    trainer = running.start_trainer()
    running.wait_until_announced(running.produce(events(100, classes=2)))
    assert trainer.stop() == 0
    said(running, "hibernate", "class-0")
    second = running.start("classes", "hibernate", "class-1", "--wait")
    wait_for(lambda: "hibernate 'class-1': event 0:" in second.text(), "both controls stand in the log")
    running.start_trainer()
    assert second.wait() == 1, second.text()
    assert "but the trainer refused it: To hibernate 'class-1' would leave no class live." in second.text()


def test_what_cannot_be_done_is_said_before_anything_is_sent(running: Line) -> None:
    assert "No version of" in said(running, "hibernate", "class-1", code=1)
    running.start_trainer()
    running.wait_until_announced(running.produce(events(100, classes=2)))
    for arguments, sentence in (
        (("hibernate", "class-11"), "There is no class 'class-11'; did you mean 'class-1'?"),
        (("hibernate",), "takes names of classes or --tenant, and not both."),
        (("wake", "class-1", "--tenant", "t"), "takes names of classes or --tenant, and not both."),
        (("hibernate", "--tenant", "t"), "There is no class to hibernate that only the tenant 't' has used."),
        (("hibernate", "class-0", "class-1"), "would leave no class live."),
        (("export", "class-7", "--output", "x"), "There is no class 'class-7'"),
        (("import", "nowhere.safetensors"), "cannot be read: No such file or directory."),
    ):
        assert sentence in said(running, *arguments, code=1)
    update = running.newest_update()
    assert update is not None
    assert sum(update.offsets.next.values()) == 100, "nothing was sent"


def test_without_a_trainer_a_control_waits_in_the_log(running: Line) -> None:
    trainer = running.start_trainer()
    running.wait_until_announced(running.produce(events(200)))
    assert trainer.stop() == 0
    text = said(running, "hibernate", "class-0", "--wait", "--timeout", "1", code=1)
    assert "was announced within 1 s; it will be carried out once a trainer reaches it" in text
    running.start_trainer()
    running.wait_until_announced(201)
    assert classes(running)["class-0"]["state"] == "hibernated"


def test_far_from_the_trainers_disk_the_newest_update_says_what_there_is(running: Line, tmp_path: Path) -> None:
    running.start_trainer()
    of_tenant = [json.dumps(json.loads(value) | {"tenant": "acme"}).encode() for value in events(50, classes=2)]
    others = [value for value in events(60, classes=3, seed=1) if b'"class-0"' not in value]
    running.wait_until_announced(running.produce(of_tenant))
    running.wait_until_announced(50 + running.produce(others))
    text = running.config.read_text().replace(str(tmp_path / "state"), str(tmp_path / "elsewhere"))
    running.config.write_text(text)
    found = classes(running)
    assert {name: each["state"] for name, each in found.items()} == {f"class-{label}": "live" for label in range(3)}
    assert {each["events"] for each in found.values()} == {None}
    assert [found[f"class-{label}"]["tenant"] for label in range(3)] == ["acme", None, None]
    assert "hibernate 'class-0': event 0:" in said(running, "hibernate", "--tenant", "acme")
    table = running.run("classes", "list").stdout.decode()
    assert table.splitlines()[0].endswith("from the update")


def test_controls_of_any_producer_are_carried_out_or_become_dead_letters(running: Line) -> None:
    trainer = running.start_trainer()
    running.wait_until_announced(running.produce(events(200)))
    header = {"content-type": CONTROL_TYPE.encode()}
    values = [b'{"control": "hibernate", "classes": ["nobody"]}', b'{"control": "sleep"}', b'{"control": "wake"}']
    running.produce(values, **header)
    running.wait_until_announced(203)
    letters = {letter.value: letter for letter in read_letters(running.kafka, running.topics.dead_letters)}
    assert set(letters) == set(values)
    assert {letter.reason for letter in letters.values()} == {"control"}
    assert letters[values[0]].sentence.startswith("There is no class 'nobody'")
    assert trainer.says("hibernate refused") is not None


def test_a_wrong_label_is_undone_by_an_event_that_retracts_it(running: Line) -> None:
    trainer = running.start_trainer()
    values = list(events(300))
    running.wait_until_announced(running.produce(values))
    wrong = json.loads(values[-1])
    counts = {name: each["events"] for name, each in classes(running).items()}
    running.produce([json.dumps(wrong | {"event_id": "undo", "retracts": wrong["event_id"]}).encode()])
    running.wait_until_announced(301)
    after = {name: each["events"] for name, each in classes(running).items()}
    assert after == counts | {wrong["label"]: counts[wrong["label"]] - 1}
    record = trainer.says("retract applied")
    assert record is not None
    assert (record["instances"], record["linear"]) == ("exact", "approximate")
