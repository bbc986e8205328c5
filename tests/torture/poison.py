"""Row 12: what is no labelled event goes to the dead letters, byte for byte, and costs its neighbours nothing."""

import random
import re
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer
from structlog.testing import capture_logs

from configurations import configuration
from kafka_brokers import create_model_topics, take_messages_up_to
from kafka_messages import KafkaMessage
from line import Line, Process, line
from penstock.adapters.kafka.topic_ends import read_ends
from penstock.errors import PoisonedStreamError
from penstock.features import Feature, FeatureSchema
from penstock.intake.config import IntakeConfig
from penstock.intake.intake import Intake
from penstock.wire.dead_letter import original_headers
from penstock.wire.decoder import EventDecoder
from poisonous import ARROW, WIDTH, Poison, arrow_poison, event, features, json_poison, other_poison, stream, truncated
from scripted_log import Letters, Reports, ScriptedLog
from stepped_clock import SteppedClock
from torture.fault import Fault, Figures
from torture.workspace import Workspace
from verifying.learnt import newest_checkpoint
from verifying.letters import assert_dead_lettered_exactly
from verifying.topics import read_topic
from waiting import wait_for

SCHEMA = FeatureSchema(features=(Feature(name="x", kind="vector", width=WIDTH), Feature(name="amount", kind="number")))
SHARE = 0.01
PARTITIONS = 3
HUGE = 900_000
"""A value longer than this does not fit into a message of the shared broker."""


@dataclass(frozen=True)
class Stream:
    """Messages by partition; `good` are the numbers of the good events, `bad` the poison in each partition's order."""

    partitions: dict[int, list[KafkaMessage]]
    good: list[float]
    bad: list[KafkaMessage]


def play(workspace: Workspace, seed: int) -> Figures:
    """In memory, every kind of poison: one in a hundred, then nothing else; then a few on a real line."""
    chance = random.Random(seed)
    kinds = list({**json_poison(), **other_poison(), **arrow_poison()}.values())
    compressions = (None, "zstd", "lz4") if workspace.is_long else (chance.choice((None, "zstd", "lz4")),)
    num_cuts = sum(_cut_at_every_length(stream(2 * chance.randrange(2, 12), each)) for each in compressions)
    rare = _mixed(kinds, chance)
    with capture_logs():  # a line for each
        _borne(rare, chance)
        letters_before_stop = _nothing_but_poison(kinds, chance)
    on_a_line = _on_a_line(workspace, [kind for kind in kinds if len(kind.value or b"") < HUGE], chance)
    return {
        "kinds of poison": float(len(kinds)),
        "streams cut": float(num_cuts),
        "poisonous messages": float(len(rare.bad) + on_a_line),
        "letters before it stopped at 100 %": float(letters_before_stop),
    }


def _cut_at_every_length(whole: bytes) -> int:
    """An Arrow stream cut anywhere is refused whole, and its neighbour is not; returns how many cuts there are."""
    decoder, count = EventDecoder(SCHEMA), 0
    for cut in truncated(whole):
        decoded = decoder.decode([KafkaMessage(cut, with_headers=ARROW), KafkaMessage(event(), at_offset=1)])
        assert decoded.events.num_rows == 1, f"{len(cut)} of {len(whole)} bytes read as events"
        assert [refused.rows for refused in decoded.invalid] == [None]
        count += 1
    return count


def _mixed(kinds: Sequence[Poison], chance: random.Random) -> Stream:
    """Each kind once among a hundred times as many good events, over the partitions."""
    partitions: dict[int, list[KafkaMessage]] = {partition: [] for partition in range(PARTITIONS)}
    good: list[float] = []
    bad: list[KafkaMessage] = []
    for number, kind in enumerate(chance.sample(kinds, len(kinds))):
        place = chance.randrange(100)
        for step in range(100):
            messages = partitions[chance.randrange(PARTITIONS)]
            partition = next(key for key, value in partitions.items() if value is messages)
            if step == place:
                bad.append(KafkaMessage(kind.value, len(messages), partition, with_headers=kind.headers or []))
                messages.append(bad[-1])
            else:
                good.append(float(100 * number + step))
                messages.append(KafkaMessage(event(features=features(amount=good[-1])), len(messages), partition))
    return Stream(partitions=partitions, good=good, bad=bad)


def _intake(log: Stream, letters: Letters, chance: random.Random) -> Intake:
    clock = SteppedClock()
    source = ScriptedLog(log.partitions, clock, chop=lambda most: chance.randrange(1, most + 1))
    config = IntakeConfig(max_events=chance.choice((1, 32, 256)), max_age_seconds=0)
    decoder = EventDecoder(SCHEMA, columnar_from_bytes=chance.choice((1, 8_388_608)))
    return Intake(source, letters, decoder, config, clock, Reports())


def _borne(log: Stream, chance: random.Random) -> None:
    """I1 and I6 in memory: all good events, in their values, and exactly the poison, in its bytes."""
    letters = Letters()
    intake = _intake(log, letters, chance)
    came: list[float] = []
    while (batch := intake.next_batch(10.0)) is not None:
        came += batch.events.column("features.amount").to_pylist()
    assert sorted(came) == log.good, "an event was lost, twice, or another one's"
    expected = {(m.partition(), m.offset()): (m.value(), m.headers() or []) for m in log.bad}
    found = {_place(letter.headers): (letter.value, original_headers(letter.headers)) for letter in letters.sent}
    assert len(letters.sent) == len(found), "a message has two letters"
    assert found == expected, "the dead letters are not the poison, byte for byte"


def _nothing_but_poison(kinds: Sequence[Poison], chance: random.Random) -> int:
    """P6: with nothing but poison it stops with a sentence, long before the topic is drained."""
    small = [kind for kind in kinds if len(kind.value or b"") < 10_000]
    messages = [
        KafkaMessage(kind.value, at_offset=offset, with_headers=kind.headers or [])
        for offset, kind in enumerate(chance.choices(small, k=5000))
    ]
    letters = Letters()
    intake = _intake(Stream(partitions={0: messages}, good=[], bad=messages), letters, chance)
    with pytest.raises(PoisonedStreamError, match=r"events in a row were invalid|of the last \d+ events were invalid"):
        _drained(intake)
    assert len(letters.sent) < 1500, f"{len(letters.sent)} messages were dead-lettered before it stopped"
    return len(letters.sent)


def _drained(intake: Intake) -> None:
    while intake.next_batch(10.0) is not None:
        pass


def _on_a_line(workspace: Workspace, kinds: Sequence[Poison], chance: random.Random) -> int:
    """A trainer on the real broker whose dead-letter topic is full at first: nothing passes, then everything does."""
    model = workspace.new_model()
    servers = workspace.kafka.bootstrap_servers
    state = workspace.directory / "state"
    text = configuration(model, servers, state, capacity=10_000)
    log = _mixed(kinds if workspace.is_long else chance.sample(kinds, 12), chance)
    with line(workspace.directory, servers, model, text, workspace.nursery) as running:
        create_model_topics(servers, model, PARTITIONS)
        take_messages_up_to(100, servers, running.topics.dead_letters)
        trainer = running.start_trainer()
        running.produce(_valid(50))
        wait_for(lambda: newest_checkpoint(state, model), "what comes before the poison is saved")
        _produce(running, log)
        wait_for(lambda: _learnt(trainer) >= len(log.good) + 50, "it trains on")
        checkpoint = newest_checkpoint(state, model)
        assert checkpoint is not None
        messages = read_topic(running.kafka, running.topics.labels)
        values = {kind.value for kind in kinds}
        bad = {place: value for place, value in _by_place(messages).items() if value in values}
        passed = {place for place in bad if checkpoint.offsets[place[0]] > place[1]}
        assert not passed, f"a checkpoint passed {min(passed)}, whose dead letter nobody has"
        take_messages_up_to(1_048_588, servers, running.topics.dead_letters)
        ends = read_ends(running.kafka, running.topics.labels).next
        wait_for(lambda: _stands_at(state, model, ends), "the newest checkpoint stands at the end")
        assert trainer.stop() == 0, trainer.text()
        assert_dead_lettered_exactly(running.kafka, model, bad)
        last = newest_checkpoint(state, model)
        assert last is not None
        assert last.events_learnt == len(messages) - len(bad), f"{last.events_learnt} events were learnt"
        return len(bad)


def _valid(count: int) -> Iterator[bytes]:
    return (event(event_id=f"v-{number}", features=features(amount=float(number))) for number in range(count))


def _produce(running: Line, log: Stream) -> None:
    """Tombstones and headers as they are."""
    producer = Producer({**running.kafka, "linger.ms": 5})
    for messages in log.partitions.values():
        for message in messages:
            producer.produce(running.topics.labels, message.value(), headers=[*(message.headers() or [])])
            producer.poll(0)
    assert producer.flush(60) == 0


def _by_place(messages: Sequence[Any]) -> dict[tuple[int, int], bytes | None]:
    return {(message.partition(), message.offset()): message.value() for message in messages}


def _place(headers: Sequence[tuple[str, bytes | None]]) -> tuple[int, int]:
    found = dict(headers)
    return int(found["__connect.errors.partition"] or b""), int(found["__connect.errors.offset"] or b"")


def _learnt(trainer: Process) -> float:
    metrics = trainer.says("metrics")
    if metrics is None:
        return 0.0
    with urllib.request.urlopen(str(metrics["url"]), timeout=60) as answer:
        found = re.search(rb"^penstock_events_learnt_total (\S+)$", answer.read(), re.MULTILINE)
    return float(found[1]) if found else 0.0


def _stands_at(state: Path, model: str, ends: Mapping[int, int]) -> bool:
    checkpoint = newest_checkpoint(state, model)
    return checkpoint is not None and all(checkpoint.offsets[partition] >= end for partition, end in ends.items())


POISON = Fault(
    number=12,
    title="poison in the label topic",
    injected="broken JSON, deep nesting, huge and infinite numbers, NaN, wrong widths, tombstones, missing labels, 10 "
    "MB messages, invalid UTF-8, Arrow streams cut at every length, decompression bombs; 1 in 100, and nothing else; a "
    "dead-letter topic that takes nothing",
    must_hold="every good event is learnt once, exactly the poison is dead-lettered with its bytes, no checkpoint "
    "passes an unacknowledged letter, and a trainer that gets nothing but poison stops with a sentence",
    short_tries=1,
    long_tries=10,
    play=play,
)
