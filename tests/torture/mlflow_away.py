"""MLflow refuses, answers 500, hangs, is slow, has a full disk, is gone: nothing waits for it, and it catches up."""

import os
import random
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from pathlib import Path

from configurations import configuration, events
from kafka_brokers import create_model_topics
from line import Line, Process, line
from mlflow_servers import MlflowServer
from scraped import metrics_url, scraped
from torture.fault import Fault, Figures
from torture.workspace import Workspace
from unsteady_proxy import FAIR, UnsteadyProxy, Weather
from verifying.updates import assert_records_whole
from waiting import wait_for

EVENTS = 60
RATE_EVENTS = 10_000
RATE_ROUNDS = 3
LEAST_RATE_RATIO = 0.95
MOST_GROWTH_BYTES = 64 << 20
BODY = b'{"error_code": "INTERNAL_ERROR", "message": "it hurts"}'
HTTP_500 = b"HTTP/1.1 500 Oh\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (len(BODY), BODY)
QUICKLY = {"PENSTOCK_MLFLOW__TIMEOUT_SECONDS": "3", "PENSTOCK_MLFLOW__RECORD_INTERVAL_SECONDS": "0.5"}

Trouble = Callable[[MlflowServer, UnsteadyProxy], AbstractContextManager[None]]


@contextmanager
def _weather(_server: MlflowServer, front: UnsteadyProxy, *, weather: Weather) -> Iterator[None]:
    front.turn(weather)
    try:
        yield
    finally:
        front.turn(FAIR)


@contextmanager
def _gone(server: MlflowServer, _front: UnsteadyProxy) -> Iterator[None]:
    server.stop()
    try:
        yield
    finally:
        server.start()


def _full_disk(server: MlflowServer, _front: UnsteadyProxy) -> AbstractContextManager[None]:
    return server.no_space_left()


TROUBLES: dict[str, Trouble] = {
    "refusing": partial(_weather, weather=Weather(refuses=True)),
    "answering 500": partial(_weather, weather=Weather(answers=HTTP_500)),
    "hanging": partial(_weather, weather=Weather(stalls=True)),
    "slow": partial(_weather, weather=Weather(latency_seconds=(1.5, 2.5))),
    "full disk": _full_disk,
    "gone": _gone,
}
SHORT = ("answering 500", "hanging")


def play(workspace: Workspace, seed: int) -> Figures:
    """One trouble after the other, in an order drawn at random; each ends with the newest version on record."""
    chance, model, kafka = random.Random(seed), workspace.new_model(), workspace.kafka.bootstrap_servers
    create_model_topics(kafka, model, label_partitions=1)
    announced, recorded = list[float](), list[float]()
    figures: dict[str, float | Sequence[float]] = {"announced meanwhile, s": announced, "on record after, s": recorded}
    server = workspace.mlflow()
    with UnsteadyProxy(seed=seed) as front:
        front.upstream = server.port
        text = configuration(model, kafka, workspace.directory / "state", tracking_uri=f"http://{front.address}")
        with line(workspace.directory, kafka, model, text, workspace.nursery) as running:
            trainer = running.start_trainer(QUICKLY)
            produced = running.produce(events(EVENTS, seed=seed))
            _wait_until_recorded(running, server, produced)
            before = _resident_bytes(trainer.pid)
            names = list(TROUBLES) if workspace.is_long else list(SHORT)
            for name in chance.sample(names, len(names)):
                with TROUBLES[name](server, front):
                    failures, began = _failures(trainer), time.monotonic()
                    produced += running.produce(events(EVENTS, seed=seed + produced, start=produced))
                    running.wait_until_announced(produced)
                    announced.append(time.monotonic() - began)
                    if name != "slow":
                        _wait_until_more_fail(trainer, failures)
                began = time.monotonic()
                _wait_until_recorded(running, server, produced)
                recorded.append(time.monotonic() - began)
            if workspace.is_long:
                figures["rate over undisturbed"] = _rates(running, trainer, server, front, produced)
            grown = _resident_bytes(trainer.pid) - before
            assert grown < MOST_GROWTH_BYTES, f"the trainer has grown by {grown >> 20} MiB"
            figures["memory grown, MiB"] = grown / (1 << 20)
            assert trainer.stop() == 0, trainer.text()
            assert assert_records_whole(server.tracking_uri, model)
    return figures


def _rates(running: Line, trainer: Process, server: MlflowServer, front: UnsteadyProxy, produced: int) -> list[float]:
    """By trouble, events a second with it over those without, side by side, a few rounds together."""
    seconds: dict[str, list[tuple[float, float]]] = {name: [] for name in ("hanging", "answering 500", "slow")}
    for _ in range(RATE_ROUNDS):
        for name, pairs in seconds.items():
            calm = _seconds(running, trainer, nullcontext(), produced)
            pairs.append((calm, _seconds(running, trainer, TROUBLES[name](server, front), produced + RATE_EVENTS)))
            produced += 2 * RATE_EVENTS
    ratios = []
    for name, pairs in seconds.items():
        ratio = sum(calm for calm, _ in pairs) / sum(disturbed for _, disturbed in pairs)
        ratios.append(ratio)
        assert ratio >= LEAST_RATE_RATIO, f"the rate while {name} is {ratio:.3f} of the undisturbed one"
    return ratios


def _seconds(running: Line, trainer: Process, trouble: AbstractContextManager[None], produced: int) -> float:
    """How long a backlog takes; the trainer stands still while it is produced, so that this takes nothing from it."""
    url, until = metrics_url(trainer), produced + RATE_EVENTS
    with trouble:
        os.kill(trainer.pid, signal.SIGSTOP)
        running.produce(events(RATE_EVENTS, seed=produced, start=produced))
        os.kill(trainer.pid, signal.SIGCONT)
        began = time.monotonic()
        wait_for(lambda: scraped(url)["penstock_events_learnt_total"] >= until, "the backlog is learnt", 300)
        return time.monotonic() - began


def _failures(trainer: Process) -> float:
    return scraped(metrics_url(trainer))["penstock_mlflow_failures_total"]


def _wait_until_more_fail(trainer: Process, failures: float) -> None:
    wait_for(lambda: _failures(trainer) > failures, "a record fails", every_seconds=0.2)


def _wait_until_recorded(running: Line, server: MlflowServer, produced: int) -> None:
    """The newest announced version is the one on record, though nothing new is announced meanwhile."""
    newest = running.wait_until_announced(produced)

    def recorded() -> bool:
        from mlflow import MlflowClient
        from mlflow.exceptions import MlflowException

        try:
            live = MlflowClient(server.tracking_uri).get_model_version_by_alias(running.model, "live")
        except MlflowException:
            return False
        return int(live.tags["penstock.version"]) >= newest.version

    wait_for(recorded, f"version {newest.version} is on record", every_seconds=0.2)


def _resident_bytes(pid: int) -> int:
    fields = dict(row.split(":", 1) for row in Path(f"/proc/{pid}/status").read_text().splitlines())
    return int(fields["VmRSS"].split()[0]) * 1024


MLFLOW_AWAY = Fault(
    number=10,
    title="MLflow in trouble",
    injected="a real MLflow server behind a proxy answers 500 and hangs; in the long form it refuses, is slow, has "
    "no byte of disk left, and is killed and started again",
    must_hold="updates are announced all the while, memory grows by less than 64 MiB, afterwards the newest version "
    "is on record though nothing new is announced, every record whole (I3); in the long form the training rate is at "
    "least 95 % of the undisturbed one",
    short_tries=1,
    long_tries=5,
    play=play,
)
