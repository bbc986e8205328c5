"""`penstock dead-letters`: an operator sees what was refused, and sends it again as it was."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow as pa
import pytest
from confluent_kafka import Producer

from configurations import configuration, new_model
from kafka_brokers import create_model_topics, create_topic
from kafka_messages import KafkaMessage
from line import Line, line
from penstock.adapters.kafka.dead_letter_reader import StoredLetter, read_letters
from penstock.adapters.kafka.local_kafka import LocalKafka
from penstock.wire.dead_letter import dead_letter
from penstock.wire.event_writer import arrow_message
from penstock.wire.message import Headers
from penstock.wire.replay import mark

ARROW: Headers = [("content-type", b"application/vnd.apache.arrow.stream")]


@pytest.fixture
def bare(kafka: LocalKafka, tmp_path: Path) -> Iterator[Line]:
    """A line without topics."""
    model = new_model()
    text = configuration(model, kafka.bootstrap_servers, tmp_path / "state")
    with line(tmp_path, kafka.bootstrap_servers, model, text) as started:
        yield started


@pytest.fixture
def stopped(bare: Line, kafka: LocalKafka) -> Line:
    """A line with its topics, and nobody who reads them."""
    create_model_topics(kafka.bootstrap_servers, bare.model)
    return bare


def refuse(
    line: Line,
    value: bytes | None,
    *,
    reason: str = "decode",
    key: bytes | None = None,
    headers: Sequence[tuple[str, bytes | None]] = (),
    rows: Sequence[int] | None = None,
    partition: int = 0,
) -> None:
    """Put a dead letter where the trainer would have put it."""
    refused = KafkaMessage(value, 17, 2, with_key=key, with_headers=list(headers), of_topic=line.topics.labels)
    letter = dead_letter(refused, reason, f"It is refused for {reason}.", rows)
    producer = Producer({**line.kafka, "linger.ms": 0})
    producer.produce(
        line.topics.dead_letters, key=letter.key, value=letter.value, headers=[*letter.headers], partition=partition
    )
    assert producer.flush(60) == 0


def labels(line: Line) -> list[StoredLetter]:
    """What stands in the label topic."""
    return list(read_letters(line.kafka, line.topics.labels))


def test_the_list_names_place_origin_reason_and_value_and_counts_by_reason(stopped: Line) -> None:
    refuse(stopped, b"first \x1b[31m\n" + b"x" * 200, reason="decode", partition=2)
    refuse(stopped, b"\xff\xfe\xfd", reason="size", partition=0)
    refuse(stopped, None, reason="decode", partition=1)
    done = stopped.run("dead-letters", "list")
    assert done.returncode == 0, done.stderr
    *lines, count = done.stdout.decode().splitlines()
    origin = f"{stopped.topics.labels}-2-17"
    assert lines == [
        f"2:0  {origin}  It is refused for decode.  first \\x1b[31m\\n{'x' * 68}…",
        f"0:0  {origin}  It is refused for size.  <3 bytes>",
        f"1:0  {origin}  It is refused for decode.  <no value>",
    ]
    assert count == f"3 dead letters in {stopped.topics.dead_letters}: 2 decode, 1 size."


def test_a_limited_list_shows_the_newest_last_and_counts_them_all_in_json_too(stopped: Line) -> None:
    values = [b"one", "zwei – été".encode(), b"\xff\x00"]
    for value in values:
        refuse(stopped, value, key=b"k")
    done = stopped.run("dead-letters", "list", "--limit", "2", "--json")
    assert done.returncode == 0, done.stderr
    documents = [json.loads(text) for text in done.stdout.splitlines()]
    assert [(each["value"], each["value_encoding"]) for each in documents] == [
        ("zwei – été", "utf-8"),
        ("/wA=", "base64"),
    ]
    assert documents[0]["original"] == {"topic": stopped.topics.labels, "partition": 2, "offset": 17}
    assert (documents[0]["partition"], documents[0]["offset"], documents[0]["key"]) == (0, 1, "k")
    assert b"3 dead letters" in done.stderr
    assert b"the newest 2 shown: 3 decode." in done.stderr


def test_a_replay_brings_key_value_and_headers_back_as_they_were_and_leaves_the_letters(stopped: Line) -> None:
    messages: list[tuple[bytes | None, bytes | None, Headers]] = [
        (b"\x00key\xff", b"\xde\xad", [("content-type", b"text/plain"), ("a", b"1"), ("a", None), ("b", b"")]),
        (None, b'{"event_id": "1"}', []),
        (b"", b"", [("__connect.errors.topic", b"another queue"), ("penstock.invalid-rows", b"its own")]),
        (b"tombstone", None, [("a", b"1")]),
    ]
    for key, value, headers in messages:
        refuse(stopped, value, key=key, headers=headers)
    done = stopped.run("dead-letters", "replay")
    assert done.returncode == 0, done.stderr
    assert done.stdout.decode().strip() == f"4 dead letters sent to {stopped.topics.labels}, 4 acknowledged."
    came = [(each.key, each.value, each.headers[:-1]) for each in labels(stopped)]
    assert sorted(came, key=repr) == sorted(messages, key=repr)
    assert {each.headers[-1] for each in labels(stopped)} == {
        mark(stopped.topics.dead_letters, 0, at) for at in range(4)
    }
    kept = read_letters(stopped.kafka, stopped.topics.dead_letters)
    assert len([each for each in kept if each.note is None]) == 4


def test_of_an_arrow_message_only_the_refused_rows_are_sent_again(stopped: Line) -> None:
    batch = pa.table({"event_id": list("abcd"), "amount": [1.0, 2.0, 3.0, 4.0], "label": ["x", "y", "", None]})
    batch = batch.set_column(2, "label", batch["label"].dictionary_encode())
    refuse(stopped, arrow_message(batch), headers=[*ARROW, ("trace", b"7")], rows=(1, 3), reason="label")
    assert stopped.run("dead-letters", "replay").returncode == 0
    (message,) = labels(stopped)
    assert message.headers == [*ARROW, ("trace", b"7"), mark(stopped.topics.dead_letters, 0, 0)]
    with pa.ipc.open_stream(message.value) as reader:
        sent = reader.read_all()
    with pa.ipc.open_stream(arrow_message(batch)) as reader:
        assert sent.equals(reader.read_all().take([1, 3]))
        assert sent.schema.equals(reader.schema, check_metadata=True)


def test_an_arrow_message_that_cannot_be_read_is_skipped_with_a_sentence_and_the_others_are_sent(stopped: Line) -> None:
    whole = arrow_message(pa.table({"event_id": ["a"], "amount": [1.0], "label": ["x"]}))
    refuse(stopped, whole[:-20] + b"broken", headers=ARROW, rows=(0,))
    refuse(stopped, whole, headers=ARROW, rows=(5,))
    refuse(stopped, whole, headers=ARROW, rows=(0,))
    done = stopped.run("dead-letters", "replay")
    assert done.returncode == 1
    assert b"letter 0:0 is skipped: The Arrow stream does not read" in done.stderr
    assert b"letter 0:1 is skipped: The Arrow stream has 1 rows; there is no row 5." in done.stderr
    assert b"Traceback" not in done.stderr
    assert [message.value for message in labels(stopped)] == [whole]


def test_letters_are_chosen_by_reason_and_place_and_a_dry_run_sends_none(stopped: Line) -> None:
    for partition, value, reason in (
        (0, b"0:0", "decode"),
        (0, b"0:1", "label"),
        (0, b"0:2", "decode"),
        (1, b"1:0", "decode"),
        (2, b"2:0", "decode"),
    ):
        refuse(stopped, value, reason=reason, partition=partition)
    chosen = ["dead-letters", "replay", "--reason", "decode", "--from", "0:1", "--from", "1:0"]
    tried = stopped.run(*chosen, "--dry-run")
    assert tried.returncode == 0, tried.stderr
    *shown, last = tried.stdout.decode().splitlines()
    assert [text.split()[0] for text in shown] == ["0:2", "1:0"]
    assert last == f"2 dead letters would be sent to {stopped.topics.labels}."
    assert labels(stopped) == []

    assert stopped.run(*chosen).returncode == 0
    assert sorted(message.value or b"" for message in labels(stopped)) == [b"0:2", b"1:0"]

    none = stopped.run("dead-letters", "replay", "--reason", "weight")
    assert none.returncode == 0
    assert b"has the reason 'weight'; there are 4 decode, 1 label." in none.stdout


@pytest.mark.parametrize(
    ("place", "sentence"),
    [("7", b"is not PARTITION:OFFSET"), ("0:-1", b"is not PARTITION:OFFSET"), ("9:0", b"has no partition 9")],
)
def test_a_place_that_cannot_be_is_refused(stopped: Line, place: str, sentence: bytes) -> None:
    done = stopped.run("dead-letters", "replay", "--from", place)
    assert done.returncode != 0
    assert sentence in done.stderr


def test_what_the_label_topic_does_not_take_is_named_and_fails(bare: Line, kafka: LocalKafka) -> None:
    create_topic(kafka.bootstrap_servers, bare.topics.labels, 1, {"max.message.bytes": 1000})
    create_topic(kafka.bootstrap_servers, bare.topics.dead_letters, 1)
    refuse(bare, b"x" * 5000)
    done = bare.run("dead-letters", "replay")
    assert done.returncode == 1
    assert b"1 dead letter sent" in done.stdout
    assert b" 0 acknowledged." in done.stdout
    assert b"1 not delivered: Broker: Message size too large: 0:0" in done.stderr


def test_an_empty_topic_says_so(stopped: Line) -> None:
    for command in ("list", "replay"):
        done = stopped.run("dead-letters", command)
        assert done.returncode == 0, done.stderr
        assert f"There is no dead letter in {stopped.topics.dead_letters}".encode() in done.stdout


def test_a_missing_topic_is_named_with_the_command_that_makes_it(bare: Line, kafka: LocalKafka) -> None:
    for command, missing in (("list", bare.topics.dead_letters), ("replay", bare.topics.labels)):
        done = bare.run("dead-letters", command)
        assert done.returncode == 1
        assert f"'{missing}' does not exist".encode() in done.stderr
        assert b"create it with `penstock topics create`" in done.stderr
    create_topic(kafka.bootstrap_servers, bare.topics.labels, 1)
    done = bare.run("dead-letters", "replay")
    assert done.returncode == 1
    assert f"'{bare.topics.dead_letters}' does not exist".encode() in done.stderr


def test_what_is_not_a_letter_of_ours_is_shown_and_sent_whole(stopped: Line) -> None:
    producer = Producer({**stopped.kafka, "linger.ms": 0})
    producer.produce(stopped.topics.dead_letters, b"by hand", headers=[("a", b"1")], partition=0)
    assert producer.flush(60) == 0
    assert b"0:0  unknown-unknown-unknown  unknown  by hand" in stopped.run("dead-letters", "list").stdout
    assert stopped.run("dead-letters", "replay", "--reason", "unknown").returncode == 0
    (message,) = labels(stopped)
    assert (message.value, message.headers[:-1]) == (b"by hand", [("a", b"1")])
