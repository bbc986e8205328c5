"""A log that is filled beforehand, a run over it that is interrupted, and one that is not: both must end alike.

Batches are bound by count and the log no longer grows, so that what a run ends with depends on the log alone.
"""

import random
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from confluent_kafka import Producer

from configurations import configuration, events
from line import Line, Process, line
from penstock.adapters.disk.outline import newest_outline
from penstock.adapters.mlflow.config import MlflowConfig
from penstock.settings import load
from random_kills import pace
from torture.workspace import Workspace
from verifying.learnt import assert_count_learnt, assert_learnt_exactly, assert_same_state
from verifying.letters import assert_dead_lettered_exactly
from verifying.topics import Place, places, read_topic
from verifying.updates import assert_log_of_one_writer, assert_records_whole, assert_updates_whole
from waiting import wait_for

PARTITIONS = 3
CLASSES = 5
POISON_EVERY = 40
COUNT_ONLY = "max_events = 8\nmax_age_seconds = 0"
SMALL_STEPS = "learning_rate = 0.003\ninner_steps = 1"
PUBLISH_OFTEN = "[publish]\nmin_interval_seconds = 0.001\nmax_interval_seconds = 0.05\n"
LAST_SECONDS = 300.0
MOST_WRONG_MS = 50 * 60 * 1000


class Interrupted:
    """One model whose trainer is to be interrupted; `events_in_log` of them are valid."""

    def __init__(
        self, running: Line, num_messages: int, seed: int, *, runs_for: int, clocks_differ: bool, drifts: bool
    ) -> None:
        self.line = running
        self.model = running.model
        self.state = running.directory / "state"
        self.num_messages = num_messages
        self._pace = pace(running.directory / "pace", runs_for=runs_for)
        self._poison = _fill(running, num_messages, seed, clocks_differ=clocks_differ, drifts=drifts)
        self._drifts = drifts

    @property
    def poison(self) -> Mapping[Place, bytes]:
        """What was produced that no trainer can learn, by its place."""
        return self._poison

    def start(self, failpoints: str = "", *, forked: bool = True) -> Process:
        """The trainer that is interrupted; if it is forked it walks once it has run for a while."""
        environ = {"PENSTOCK_FAILPOINTS": failpoints, **self._pace}
        return self.line.start("train", environ=environ, forked=forked)

    def messages_passed(self, state: Path | None = None) -> int:
        """How many messages the newest checkpoint has behind it."""
        found = newest_outline(state or self.state, self.model, tensors=(), columns=())
        return sum(found.offsets.next.values()) if found else 0

    def events_learnt(self) -> int:
        """By the newest checkpoint."""
        found = newest_outline(self.state, self.model, tensors=(), columns=())
        return found.events_learnt if found else 0

    @property
    def is_done(self) -> bool:
        """True if everything that was produced is behind the newest checkpoint."""
        return self.messages_passed() == self.num_messages

    def finish(self) -> None:
        """Let a last trainer learn what is left, and stop it."""
        trainer = self.line.start_trainer()
        wait_for(lambda: trainer.says("learning on"), "the last trainer has started")
        wait_for(lambda: self.is_done or _fail_if_ended(trainer), "everything is learnt", LAST_SECONDS)
        assert trainer.stop() == 0, trainer.text()

    def verify(self, mlflow: MlflowConfig | None = None) -> None:
        """I1 to I4 and I6, after `finish`: as if nothing had happened, and as an uninterrupted run ends."""
        produced = places(read_topic(self.line.kafka, self.line.topics.labels))
        assert len(produced) == self.num_messages, "the log is not what was produced"
        good = produced - self._poison.keys()
        if self._drifts:  # rows of what has lost its meaning are let go: the same state as undisturbed says enough
            assert_count_learnt(self.state, self.model, len(good))
        else:
            assert_learnt_exactly(self.state, self.model, good, self._poison)
        assert_dead_lettered_exactly(self.line.kafka, self.model, self._poison)
        assert_log_of_one_writer(self.line.kafka, self.model)
        settings = load(self.line.config, {})
        assert assert_updates_whole(self.line.kafka, settings.model, mlflow) > 0, "nothing was announced"
        if settings.mlflow.enabled:
            assert assert_records_whole(settings.mlflow.tracking_uri, self.model) > 0, "nothing was recorded"
        assert_same_state(self.state, self._uninterrupted(), self.model)

    def _uninterrupted(self) -> Path:
        state = self.line.directory / "uninterrupted"
        # No record: it would only be fetched, as what another trainer left, and gone on from.
        quiet = {"PENSTOCK_STATE__DIRECTORY": str(state), "PENSTOCK_MLFLOW__ENABLED": "false"}
        trainer = self.line.start_trainer(quiet)
        wait_for(
            lambda: self.messages_passed(state) == self.num_messages or _fail_if_ended(trainer),
            "the uninterrupted run has learnt everything",
            LAST_SECONDS,
        )
        trainer.kill()
        return state


@contextmanager
def interrupted(
    workspace: Workspace,
    seed: int,
    num_messages: int,
    *,
    runs_for: int = 0,
    recorded: bool = False,
    clocks_differ: bool = False,
    drifts: bool = False,
) -> Iterator[Interrupted]:
    """A model on the shared broker, its log full; `recorded` in an MLflow of its own as well.

    Its trainer `runs_for` so many events after each start, and then walks.

    Where `clocks_differ` the timestamps of events are up to 50 minutes wrong: Kafka takes none an hour ahead. Where it
    `drifts` two classes change places halfway.
    """
    model, directory = workspace.new_model(), workspace.directory
    text = configuration(
        model,
        workspace.kafka.bootstrap_servers,
        directory / "state",
        tracking_uri=f"sqlite:///{directory / 'mlflow.db'}" if recorded else None,
        intake=COUNT_ONLY,
        training=SMALL_STEPS,
        capacity=CLASSES * num_messages,  # each class has its share: none of its events may be let go
        width=4,
        more=PUBLISH_OFTEN,
    )
    if recorded:
        text = text.replace("record_interval_seconds = 1.0", "record_interval_seconds = 0.05")
    with line(directory, workspace.kafka.bootstrap_servers, model, text, workspace.nursery) as running:
        assert running.run("topics", "create", "--partitions", str(PARTITIONS)).returncode == 0
        yield Interrupted(running, num_messages, seed, runs_for=runs_for, clocks_differ=clocks_differ, drifts=drifts)


def _fill(running: Line, num_messages: int, seed: int, *, clocks_differ: bool, drifts: bool) -> dict[Place, bytes]:
    """Message n goes to partition n modulo their number; returns the poison by place."""
    producer, poison = Producer({**running.kafka, "linger.ms": 5}), dict[Place, bytes]()
    chance, now_ms = random.Random(seed), round(time.time() * 1000)
    for number, value in enumerate(_values(num_messages, seed, drifts=drifts)):
        place = (number % PARTITIONS, number // PARTITIONS)
        if number % POISON_EVERY == seed % POISON_EVERY:
            value = poison[place] = b"poison %d" % number
        at_ms = now_ms + (chance.randint(-MOST_WRONG_MS, MOST_WRONG_MS) if clocks_differ else 0)
        producer.produce(running.topics.labels, value, partition=place[0], timestamp=at_ms)
        producer.poll(0)
    assert producer.flush(60) == 0
    return poison


def _values(num_messages: int, seed: int, *, drifts: bool) -> Iterator[bytes]:
    """Another class appears towards the end."""
    num_last = num_messages // 10
    yield from (
        swapped(value) if drifts and number > num_messages // 2 else value
        for number, value in enumerate(events(num_messages - num_last, classes=CLASSES - 1, width=4, seed=seed))
    )
    yield from events(num_last, classes=CLASSES, width=4, seed=seed + 1)


def swapped(value: bytes) -> bytes:
    """The event with the labels of two classes changed round."""
    if value.endswith(b'"class-0"}'):
        return value.replace(b'"class-0"}', b'"class-1"}')
    return value.replace(b'"class-1"}', b'"class-0"}')


def _fail_if_ended(trainer: Process) -> bool:
    assert trainer.is_running, f"the trainer has ended:\n{trainer.text()}"
    return False
