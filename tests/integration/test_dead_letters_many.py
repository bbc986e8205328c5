"""Ten thousand dead letters: found, looked into, taken out, and sent again once, however often that is broken off."""

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import pyarrow.parquet as pq
import pytest
from confluent_kafka import Producer

from configurations import configuration, new_model
from kafka_brokers import create_model_topics
from kafka_messages import KafkaMessage
from line import Line, line
from nursery import Nursery
from penstock.adapters.kafka.dead_letter_reader import StoredLetter, read_letters
from penstock.adapters.kafka.local_kafka import LocalKafka
from penstock.adapters.kafka.topic_ends import read_ends
from penstock.wire.dead_letter import dead_letter
from penstock.wire.message import Headers
from penstock.wire.replay import REPLAYED_FROM
from waiting import wait_for

LETTERS = 10_000
REASONS = ("decode", "label", "field")
SLOWLY = {"PENSTOCK_KAFKA__QUEUE_BUFFERING_MAX_MESSAGES": "5"}
"""A producer with so little room sends for seconds what would be gone before anybody could break it off."""


@dataclass(frozen=True)
class Full:
    """A line with its letters; `message` is what the letter `number` was before it was refused."""

    line: Line

    def message(self, number: int) -> tuple[bytes, bytes, Headers]:
        value = b'{"event_id": "%d", \xff' % number if number % 2 else b'{"event_id": "%d", "label": ""}' % number
        return b"k%d" % number, value, [("content-type", b"application/json"), ("number", b"%d" % number)]

    def labels(self) -> list[StoredLetter]:
        return list(read_letters(self.line.kafka, self.line.topics.labels))

    def has_labels(self, count: int) -> bool:
        return self.num_labels() >= count

    def num_labels(self) -> int:
        return sum(read_ends(self.line.kafka, self.line.topics.labels).next.values())


@pytest.fixture(scope="module")
def full(kafka: LocalKafka, nursery: Nursery, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Full]:
    """Letters over three partitions and three reasons, which differ by partition."""
    folder, model = tmp_path_factory.mktemp("letters"), new_model()
    text = configuration(model, kafka.bootstrap_servers, folder / "state")
    with line(folder, kafka.bootstrap_servers, model, text, nursery) as started:
        create_model_topics(kafka.bootstrap_servers, model)
        filled = Full(started)
        producer = Producer({**started.kafka, "linger.ms": 5})
        for number in range(LETTERS):
            key, value, headers = filled.message(number)
            refused = KafkaMessage(value, number, 1, with_key=key, with_headers=headers, of_topic=started.topics.labels)
            letter = dead_letter(refused, REASONS[number // 10 % 3], "It is refused.")
            producer.produce(
                started.topics.dead_letters,
                key=letter.key,
                value=letter.value,
                headers=[*letter.headers],
                partition=number % 3,
            )
        assert producer.flush(60) == 0
        yield filled


def test_filters_choose_among_them_and_show_gives_one_whole(full: Full) -> None:
    done = full.line.run("dead-letters", "list", "--reason", "label", "--limit", "3", "--json")
    assert done.returncode == 0, done.stderr
    assert [json.loads(text)["reason"] for text in done.stdout.splitlines()] == ["label"] * 3
    assert b"3330 chosen of 10000 dead letters" in done.stderr
    found = full.line.run("dead-letters", "list", "--containing", '"4711"')
    assert found.returncode == 0, found.stderr
    assert f"1:1570  {full.line.topics.labels}-1-4711  It is refused.".encode() in found.stdout
    shown = full.line.run("dead-letters", "show", "1:1570", "--json")
    document = json.loads(shown.stdout)
    assert (document["key"], document["value_encoding"], document["replayed"]) == ("k4711", "base64", False)
    assert document["headers"][1] == {"name": "number", "value": "4711", "value_encoding": "utf-8"}
    none = full.line.run("dead-letters", "show", "1:99999")
    assert none.returncode == 1
    assert b"There is no dead letter at 1:99999" in none.stderr


def test_an_export_holds_every_byte_of_them(full: Full) -> None:
    file = full.line.directory / "letters.parquet"
    done = full.line.run("dead-letters", "export", str(file))
    assert done.returncode == 0, done.stderr
    rows = pq.read_table(file).to_pylist()
    assert len(rows) == LETTERS
    for row in rows:
        number = int(row["original_offset"])
        headers = [(each["name"], each["value"]) for each in row["headers"]]
        assert (row["key"], row["value"], headers) == full.message(number)
        assert (row["partition"], row["reason"]) == (number % 3, REASONS[number // 10 % 3])


def test_a_replay_killed_twice_and_run_again_sends_each_of_the_chosen_once(full: Full) -> None:
    chosen = sorted(number for number in range(LETTERS) if number // 10 % 3 == 0)
    command = ("dead-letters", "replay", "--reason", "decode")
    for arrived in (300, 1200):
        process = full.line.start(*command, environ=SLOWLY)
        wait_for(partial(full.has_labels, arrived), "some have arrived", every_seconds=0.005)
        process.kill()
    assert 1200 <= full.num_labels() < len(chosen), "it was broken off too late to show anything"

    last = full.line.run(*command)
    assert last.returncode == 0, last.stderr
    assert b"left out: sent by an earlier replay" in last.stdout
    came = Counter((each.key, each.value, tuple(each.headers[:-1])) for each in full.labels())
    expected = (full.message(number) for number in chosen)
    assert came == Counter((key, value, tuple(headers)) for key, value, headers in expected)
    marks = {each.headers[-1] for each in full.labels()}
    assert len(marks) == len(chosen)
    assert {name for name, _ in marks} == {REPLAYED_FROM}

    before = full.num_labels()
    once_more = full.line.run(*command)
    assert once_more.returncode == 0, once_more.stderr
    assert f"{len(chosen)} dead letters left out".encode() in once_more.stdout
    assert full.num_labels() == before
    asked_for = full.line.run(*command, "--only", "0:0", "--again")
    assert asked_for.stdout.decode().strip() == f"1 dead letter sent to {full.line.topics.labels}, 1 acknowledged."
    assert json.loads(full.line.run("dead-letters", "show", "0:0", "--json").stdout)["replayed"]
