"""Everything at random for a long time: what a process holds on to must not grow."""

import os
import random
import signal
import sqlite3
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, closing, suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from configurations import configuration, events, question
from line import Line, Process, line, served_version
from mlflow_servers import MlflowServer
from penstock.adapters.kafka.local_kafka import LocalKafka
from penstock.failpoints import NAMES
from torture.broker_away import PROPERTIES
from torture.fault import Fault, Figures
from torture.mlflow_away import SHORT, TROUBLES
from torture.workspace import Workspace
from unsteady_proxy import FAIR, UnsteadyProxy, Weather
from verifying.answers import Asking, assert_answers_hold
from verifying.letters import assert_dead_lettered_exactly
from verifying.topics import read_topic
from verifying.updates import acceptable, assert_log_of_one_writer, assert_records_whole
from waiting import wait_for

SOAK_SECONDS = {False: 0.0, True: 1800.0}
"""After everything has been done once."""
BURST, POISON_EVERY = 150, 25
POISON = b"poison "
CUT_SECONDS = (0.1, 2.0)
MLFLOW_SECONDS = 3
"""It is waited for no longer, so that troubles are felt."""
FAR_AWAY = Weather(latency_seconds=(0.02, 0.2))
KEPT_WHOLE = {"log.cleaner.min.compaction.lag.ms": 2 * 3600 * 1000}
"""No update is compacted away before the verifier has read which versions there were."""
WRITING = tuple(name for name in NAMES if name.startswith("checkpoint."))
CAPACITY = 500
ROOM: dict[str, float] = {"descriptors": 8, "threads": 4, "resident MiB": 48, "state MiB": 2, "rows per version": 60}
"""What a thing may have grown by, from the second third of the time to the last."""


@dataclass
class Soak:
    """What runs, and what was seen of it."""

    running: Line
    broker: LocalKafka
    proxy: UnsteadyProxy
    chance: random.Random
    trainer: Process
    replica: Process
    doomed: Process
    server: MlflowServer
    front: UnsteadyProxy
    troubles: Sequence[str]
    """Of MLflow, behind `front`."""
    trouble: AbstractContextManager[None] | None = None
    rows_before: int = 0
    versions_before: int = 0
    """In MLflow's database, which others use too."""
    produced: int = 0
    seen: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    actions: int = 0

    def produce(self) -> None:
        """A burst of events, some of them poison."""
        values = list(events(BURST, seed=self.chance.randrange(10_000), start=self.produced))
        for number in range(0, BURST, POISON_EVERY):
            values[number] = POISON + b"%d" % (self.produced + number)
        self.produced += self.running.produce(values)

    def kill_trainer(self) -> None:
        """kill -9, and another, on a disk that fails once."""
        self.trainer.kill()
        error = f"{self.chance.choice(WRITING)}={self.chance.choice(('eio', 'enospc'))}@{self.chance.randrange(1, 20)}"
        self.trainer = self.running.start_trainer({"PENSTOCK_FAILPOINTS": error})

    def stop_trainer(self) -> None:
        """SIGTERM, and another."""
        code = self.trainer.stop()
        assert code in (0, -signal.SIGTERM), f"the trainer left with {code}:\n{self.trainer.text()}"
        self.trainer = self.running.start_trainer()

    def kill_replica(self) -> None:
        """kill -9 of the one that is not asked, and another."""
        self.doomed.kill()
        self.doomed = self.running.start("serve", "--port", "0")

    def hold_still(self) -> None:
        """SIGSTOP of one of them for a moment."""
        pid = self.chance.choice((self.trainer, self.doomed)).pid
        os.kill(pid, signal.SIGSTOP)
        time.sleep(self.chance.uniform(0.1, 1.0))  # how long it stands still is what is tried here
        os.kill(pid, signal.SIGCONT)

    def kill_broker(self) -> None:
        """kill -9, and it comes back with what was on its disk."""
        self.broker.kill()
        self.broker.start()

    def cut_off(self) -> None:
        """Nobody reaches the broker for a moment."""
        self.proxy.turn(Weather(refuses=True))
        time.sleep(self.chance.uniform(*CUT_SECONDS))  # how long the cut is is what is tried here
        self.proxy.turn(FAIR)

    def change_weather(self) -> None:
        """The broker is far away, or near again."""
        self.proxy.weather = FAIR if self.proxy.weather is FAR_AWAY else FAR_AWAY

    def trouble_mlflow(self) -> None:
        """It refuses, answers 500, hangs, is slow, has a full disk or is gone; or all is well again."""
        if self.trouble is None:
            self.trouble = TROUBLES[self.chance.choice(self.troubles)](self.server, self.front)
            self.trouble.__enter__()
        else:
            self.heal_mlflow()

    def heal_mlflow(self) -> None:
        """All is well again, if it was not."""
        if self.trouble is not None:
            self.trouble.__exit__(None, None, None)
            self.trouble = None

    def deck(self) -> list[Callable[[], None]]:
        """Everything that is done, in an order drawn at random."""
        actions: list[Callable[[], None]] = [
            *[self.produce] * 12,
            *[self.kill_trainer, self.stop_trainer, self.kill_replica, self.hold_still],
            *[self.kill_broker, self.cut_off, self.change_weather, self.trouble_mlflow],
        ]
        self.chance.shuffle(actions)
        return actions

    def look(self) -> None:
        """Note what they hold; a trainer once it learns, the replica at any time."""
        if self.trainer.said("reading labels"):
            self._look_at("trainer", self.trainer)
        self._look_at("replica", self.replica)
        self.seen["state MiB"].append(_bytes_below(self.running.directory / "state") / 2**20)
        if num_versions := self.mlflow_rows("model_versions") - self.versions_before:
            self.seen["rows per version"].append((self.mlflow_rows() - self.rows_before) / num_versions)

    def mlflow_rows(self, *tables: str) -> int:
        """In these tables of MLflow's database; in all of them unless named."""
        with closing(sqlite3.connect(f"file:{self.server.database}?mode=ro", uri=True, timeout=30)) as database:
            known = [name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
            return sum(database.execute(f'SELECT count(*) FROM "{name}"').fetchone()[0] for name in tables or known)

    def _look_at(self, name: str, process: Process) -> None:
        seen = psutil.Process(process.pid)
        self.seen[f"{name}, descriptors"].append(seen.num_fds())
        self.seen[f"{name}, threads"].append(seen.num_threads())
        self.seen[f"{name}, resident MiB"].append(seen.memory_info().rss / 2**20)


def play(workspace: Workspace, seed: int) -> Figures:
    """Acts and looks until the time is over; then everything must be there, and nothing have grown."""
    model, directory, chance = workspace.new_model(), workspace.directory, random.Random(seed)
    server = workspace.mlflow()
    with (
        UnsteadyProxy(seed=seed) as proxy,
        UnsteadyProxy(seed=seed) as front,
        workspace.own_kafka({**PROPERTIES, **KEPT_WHOLE}, advertised_port=proxy.port) as broker,
    ):
        proxy.upstream, front.upstream = int(broker.bootstrap_servers.rpartition(":")[2]), server.port
        text = configuration(
            model, proxy.address, directory / "state", tracking_uri=f"http://{front.address}", capacity=CAPACITY
        ).replace("record_interval_seconds", f"timeout_seconds = {MLFLOW_SECONDS}\nrecord_interval_seconds")
        with line(directory, proxy.address, model, text, workspace.nursery) as running:
            assert running.run("topics", "create", "--partitions", "1").returncode == 0
            replica, url = running.start_replica()
            soak = Soak(
                running=running,
                broker=broker,
                proxy=proxy,
                chance=chance,
                trainer=running.start_trainer(),
                replica=replica,
                doomed=running.start("serve", "--port", "0"),
                server=server,
                front=front,
                troubles=list(TROUBLES) if workspace.is_long else SHORT,
            )
            soak.rows_before, soak.versions_before = soak.mlflow_rows(), soak.mlflow_rows("model_versions")
            soak.produce()
            wait_for(lambda: served_version(url, model), "the replica serves")
            with Asking(url, model, question(1, label=0), pause_seconds=0.05) as asking:
                minutes = _soaked(soak, asking, min(SOAK_SECONDS[workspace.is_long], workspace.seconds_left))
                messages = read_topic(running.kafka, running.topics.labels)
                last = running.wait_until_announced(len(messages))
                wait_for(lambda: asking.newest_version == last.version, "the replica serves the newest")
            assert soak.trainer.stop() == 0, soak.trainer.text()
            poison = {(0, each.offset()): each.value() for each in messages if each.value().startswith(POISON)}
            assert len(messages) >= soak.produced, "the broker has lost what it had acknowledged"
            assert_log_of_one_writer(running.kafka, model)
            assert_answers_hold(asking.answers, acceptable(running.kafka, model))
            assert_dead_lettered_exactly(running.kafka, model, poison)
            assert assert_records_whole(server.tracking_uri, model) > 0, "nothing was recorded"
            assert last.metrics["events_learnt"] == len(messages) - len(poison), "events were lost, or learnt twice"
    for name, values in soak.seen.items():
        if workspace.is_long or not name.startswith("trainer"):  # those of seconds are killed before they have grown up
            _assert_flat(name, values)
    return {
        "minutes": minutes,
        "actions": float(soak.actions),
        **{name: _thirds(values)[1:] for name, values in soak.seen.items()},
    }


def _soaked(soak: Soak, asking: Asking, seconds: float) -> float:
    """Deck after deck, the first to its end; returns the minutes it took. Broker and MLflow are well afterwards."""
    began = time.monotonic()
    try:
        _act(soak, asking, began + seconds)
    finally:
        soak.heal_mlflow()  # others use it too
    soak.proxy.weather = FAIR
    return (time.monotonic() - began) / 60


def _act(soak: Soak, asking: Asking, until_seconds: float) -> None:
    while not soak.actions or time.monotonic() < until_seconds:
        for act in soak.deck():
            act()
            soak.actions += 1
            asking.pause(soak.chance.uniform(0, 0.5))
            soak.look()


def _assert_flat(name: str, values: Sequence[float]) -> None:
    _, middle, last = _thirds(values)
    room = ROOM[name.rpartition(", ")[2]]
    assert last <= middle + room, f"{name} grew from {middle:.0f} to {last:.0f}"


def _thirds(values: Sequence[float]) -> list[float]:
    """The most in each third of the time."""
    third = max(len(values) // 3, 1)
    return [max(values[:third]), max(values[third : 2 * third] or values), max(values[2 * third :] or values)]


def _bytes_below(folder: Path) -> int:
    """Of all files; those that are pruned meanwhile, folders too, count for nothing."""
    total = 0
    for at, _, names in os.walk(folder):
        for name in names:
            with suppress(FileNotFoundError):
                total += (Path(at) / name).stat().st_size
    return total


SOAK = Fault(
    number=18,
    title="a soak",
    injected="for 30 minutes at random: bursts with poison, kill -9, SIGTERM and SIGSTOP of trainers and replicas, "
    "errors of the disk, kill -9 and restart of the broker, a line to it that is cut and slow, and an MLflow that "
    "refuses, answers 500, hangs, is slow, has a full disk or is gone",
    must_hold="I1 and I3 to I6; descriptors, threads, memory, disk and MLflow's rows per version are flat",
    short_tries=1,
    long_tries=1,
    play=play,
)
