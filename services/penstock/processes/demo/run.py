"""`penstock demo`: the main job as real processes, and beside it the same network without replay."""

import logging
import os
import shutil
import signal
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from types import FrameType

from penstock.adapters.kafka.embedded import EmbeddedBroker
from penstock.adapters.kafka.local_kafka import LocalKafka
from penstock.adapters.kafka.topic_names import TopicNames
from penstock.adapters.kafka.topics import create_topics
from penstock.errors import ConfigurationError
from penstock.processes import logs
from penstock.processes.demo.children import Children
from penstock.processes.demo.configuration import BASELINE, MODEL, Line, write_line
from penstock.processes.demo.digits import digit_stream
from penstock.processes.demo.ending import save_metrics, say_how_to_look, show_result
from penstock.processes.demo.show import Show
from penstock.processes.demo.view import View

LABEL_PARTITIONS = 2
MARKER = ".penstock-demo"


def run(*, directory: Path, broker: str, keep: bool, seed: int) -> int:
    """Play the demo; 0 at its end. Ctrl-C ends the process, with 130 or, if it only kept serving, 0.

    Raises:
        StopError: something could not be started; its sentence says what.
    """
    signal.signal(signal.SIGTERM, _interrupt)
    signal.signal(signal.SIGINT, _interrupt)
    logs.configure(logging.WARNING)  # what goes well, the view says
    view = View()
    playing = True
    try:
        with ExitStack() as resources:
            directory = _made_anew(directory)
            bootstrap_servers = _start_broker(broker, directory, view, resources)
            lines = _write_lines(directory, bootstrap_servers, seed)
            children = Children(directory / "logs")
            resources.callback(children.stop)
            _start_lines(lines, children, view)
            show = resources.enter_context(Show(lines, bootstrap_servers, digit_stream(seed), view))
            with view.showing():
                for _ in show.play():
                    children.check()
            playing = False
            save_metrics(lines, directory)
            say_how_to_look(directory, show_result(show, directory, view), lines[0], view, keep=keep)
            while keep:
                children.check()
                time.sleep(0.1)
    except KeyboardInterrupt:
        view.say("Stopped; no process is left.")
        sys.stdout.flush()
        os._exit(130 if playing else 0)  # Kafka's clients and the interpreter would take their time to end
    return 0


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    """The first signal unwinds everything; later ones would only disturb that."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise KeyboardInterrupt


def _made_anew(directory: Path) -> Path:
    """The demo's folder, emptied if an earlier demo made it."""
    if directory.exists() and any(directory.iterdir()) and not (directory / MARKER).exists():
        raise ConfigurationError(f"{directory} exists and is not an earlier demo's; name another with --directory.")
    try:
        shutil.rmtree(directory, ignore_errors=True)
        directory.mkdir(parents=True)
        (directory / MARKER).touch()
    except OSError as error:
        raise ConfigurationError(
            f"{directory} cannot be made: {error.strerror}; name another with --directory."
        ) from None
    return directory.absolute()


def _start_broker(broker: str, directory: Path, view: View, resources: ExitStack) -> str:
    """Start the broker with the topics of both lines; returns its address."""
    if broker == "embedded":
        embedded = resources.enter_context(EmbeddedBroker())
        for model in (MODEL, BASELINE):
            names = TopicNames(model)
            embedded.create_topic(names.labels, LABEL_PARTITIONS)
            embedded.create_topic(names.updates, 1)
            embedded.create_topic(names.dead_letters, 1)
        view.say(f"broker    embedded, at {embedded.bootstrap_servers} (for trying out: in memory, no compaction)")
        return embedded.bootstrap_servers
    view.say("broker    Apache Kafka 4.3, resolved by Maven the first time …")
    kafka = resources.enter_context(LocalKafka(directory / "kafka"))
    resources.callback(kafka.kill)  # nobody needs its data, and it may take its time to stop
    for model in (MODEL, BASELINE):
        create_topics(
            {"bootstrap.servers": kafka.bootstrap_servers}, model, partitions=LABEL_PARTITIONS, replication_factor=1
        )
    view.say(f"broker    Apache Kafka 4.3, at {kafka.bootstrap_servers}")
    return kafka.bootstrap_servers


def _write_lines(directory: Path, bootstrap_servers: str, seed: int) -> tuple[Line, Line]:
    penstock = write_line(directory, model=MODEL, bootstrap_servers=bootstrap_servers, num_replicas=2, seed=seed)
    baseline = write_line(directory, model=BASELINE, bootstrap_servers=bootstrap_servers, num_replicas=1, seed=seed)
    return penstock, baseline


def _start_lines(lines: tuple[Line, Line], children: Children, view: View) -> None:
    for line in lines:
        children.start(f"trainer-{line.model}", ["train", "--config", str(line.config)])
        for index, port in enumerate(line.replica_ports, 1):
            children.start(f"replica-{index}-{line.model}", ["serve", "--config", str(line.config), "--port", port])
    view.say("started   a trainer and two replicas; beside them the same network alone, without replay")
