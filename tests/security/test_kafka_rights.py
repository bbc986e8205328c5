"""TLS, certificates, SASL and Kafka's own authorizer: docs/security.md lists the rights that are asked for."""

from pathlib import Path

from confluent_kafka import Producer

from configurations import events, new_model, question
from kafka_brokers import create_model_topics
from line import Line, ask, served_version
from nursery import Nursery
from penstock.adapters.kafka.topic_ends import read_ends
from penstock.wire.event_writer import json_event
from penstock.wire.replay import ReplayNote, encode_note
from secured_kafka import PASSWORDS, Secured, binding, documented, letters, line_as, produce
from verifying.learnt import newest_checkpoint
from waiting import wait_for

COMMANDS = {
    "replica that logs predictions": "replica",
    "trainer with late labels": "trainer",
    "dead-letters list, show, export": "reader",
    "dead-letters replay": "replayer",
    "topics create": "creator",
    "doctor": "doctor",
}
"""Who the document names, and as which user the test does it."""
LOGGED = "[serving.prediction_log]\nenabled = true"


def test_a_whole_line_over_tls_asks_for_exactly_the_documented_rights(
    secured: Secured, granted: str, nursery: Nursery, tmp_path: Path
) -> None:
    since = secured.kafka.log_file.stat().st_size
    with_password = line_as(secured, secured.sasl("trainer"), granted, tmp_path / "trainer", nursery)
    with_certificate = line_as(secured, secured.mtls, granted, tmp_path / "replica", nursery)
    try:
        trainer = with_password.start_trainer()
        replica, url = with_certificate.start_replica()
        produce(secured.sasl("producer"), with_password.topics.labels, [*events(100), b"poison"])
        update = with_password.wait_until_announced(101)
        wait_for(lambda: served_version(url, granted) >= update.version, "the replica serves it")
        assert letters(secured, granted) == [b"poison"]
        assert trainer.stop() == 0, trainer.text()
        assert replica.stop() == 0, replica.text()
        another = with_password.start_trainer()  # it finds updates to read
        wait_for(lambda: another.says("reading labels"), "another trainer goes on")
        assert another.stop() == 0, another.text()
    finally:
        with_password.close()
        with_certificate.close()
    assert secured.asked("Denied", since) == set()
    assert secured.asked("Allowed", since) == documented(granted)
    for text in (trainer.text(), replica.text(), another.text()):
        assert "authorization" not in text.lower(), text
        assert not any(password in text for password in PASSWORDS.values())
    checkpoint = newest_checkpoint(tmp_path / "trainer" / "state", granted)
    assert checkpoint is not None
    assert checkpoint.events_learnt == 100


def test_late_labels_and_the_commands_ask_for_exactly_what_is_documented_of_them(
    secured: Secured, nursery: Nursery, tmp_path: Path
) -> None:
    model = new_model()
    expected = documented(model) | documented(model, COMMANDS)
    secured.give(*(binding(*right) for right in expected))
    since = secured.kafka.log_file.stat().st_size
    users = ("creator", "doctor", "trainer", "reader", "replayer")
    lines = {user: line_as(secured, secured.sasl(user), model, tmp_path / user, nursery, LOGGED) for user in users}
    lines["replica"] = line_as(secured, secured.mtls, model, tmp_path / "replica", nursery, LOGGED)
    try:
        succeed(lines["creator"], "topics", "create", "--partitions", "1")
        succeed(lines["doctor"], "doctor")
        trainer = lines["trainer"].start_trainer()
        _, url = lines["replica"].start_replica()
        labels = f"{model}.labels"
        produce(secured.sasl("producer"), labels, [*events(100), b"poison", b"more of it"])
        update = lines["trainer"].wait_until_announced(102)
        wait_for(lambda: served_version(url, model) >= update.version, "the replica serves it")
        status, answer = ask(f"{url}/v2/models/{model}/infer", question(1, label=0))
        assert status == 200, answer
        of = answer["parameters"]["prediction_id"]
        produce(secured.sasl("producer"), labels, [json_event(event_id="late", prediction_id=of, label="class-0")])
        assert lines["trainer"].wait_until_announced(103).metrics["events_learnt"] == 101
        assert trainer.stop() == 0, trainer.text()
        succeed(lines["reader"], "dead-letters", "list")
        succeed(lines["reader"], "dead-letters", "show", "0:0")
        succeed(lines["reader"], "dead-letters", "export", str(tmp_path / "letters.parquet"))
        begin_a_replay(secured, model)
        succeed(lines["replayer"], "dead-letters", "replay")
    finally:
        for each in lines.values():
            each.close()
    # A client that reads no group asks for it when it lives long enough, and does without.
    harmless = {(user, "group", "penstock", "DESCRIBE") for user in ("creator", "doctor")}
    assert secured.asked("Denied", since) <= harmless
    names = {name for _, _, name, _ in expected}  # who asks what topics there are is asked about those of other tests
    allowed = {right for right in secured.asked("Allowed", since) if right[2] in names}
    seldom = {("trainer", "topic", f"{model}.updates", "READ"), ("replayer", "topic", labels, "READ")}  # what is there
    assert allowed <= expected
    assert expected - allowed <= seldom


def test_letters_are_read_without_a_right_on_the_group(secured: Secured, nursery: Nursery, tmp_path: Path) -> None:
    model = new_model()
    create_model_topics(secured.kafka.bootstrap_servers, model)
    secured.give(*(binding(*right) for right in documented(model, COMMANDS) if right[1] == "topic"))
    produce(secured.local, f"{model}.dead-letters", [b"a letter"])
    reading = line_as(secured, secured.sasl("reader"), model, tmp_path, nursery)
    since = secured.kafka.log_file.stat().st_size
    try:
        listed = reading.run("dead-letters", "list")
    finally:
        reading.close()
    assert listed.returncode == 0, listed.stderr
    assert b"a letter" in listed.stdout
    assert secured.asked("Denied", since) <= {("reader", "group", "penstock", "DESCRIBE")}


def succeed(running: Line, *command: str) -> None:
    done = running.run(*command)
    assert done.returncode == 0, (done.stdout + done.stderr).decode()


def begin_a_replay(secured: Secured, model: str) -> None:
    """As one that is broken off before it has sent the first letter."""
    ends = read_ends(secured.local, f"{model}.labels").next
    value, headers = encode_note(ReplayNote(state="begun", offsets=(0,), label_ends=dict(ends)))
    producer = Producer({**secured.local, "log_level": 0})
    producer.produce(f"{model}.dead-letters", value, headers=[*headers])
    assert producer.flush(30) == 0
