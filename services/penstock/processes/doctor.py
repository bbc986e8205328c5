"""`penstock doctor`: one line for everything the trainer and the replicas depend on, and what is wrong with it."""

import os
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import click

from penstock.adapters.kafka.topic_names import TopicNames
from penstock.errors import PenstockError
from penstock.processes.configured import load
from penstock.settings import Settings

CONFIGURATION = "configuration"


@dataclass(frozen=True, kw_only=True)
class Line:
    """One check's outcome."""

    name: str
    ok: bool
    sentence: str


def run(config: Path) -> int:
    """Print every check as it ends; 0 if all is well, 1 otherwise."""
    try:
        settings = load(config)
    except PenstockError as error:
        return _said([Line(name=CONFIGURATION, ok=False, sentence=str(error))], len(CONFIGURATION))
    names = TopicNames(settings.model.name)
    topics = (names.labels, names.updates, names.dead_letters, names.predictions)
    return _said(_check_all(config, settings), max(len(CONFIGURATION), *(len(f"topic {name}") for name in topics)))


def _said(lines: Iterable[Line], width: int) -> int:
    all_well = True
    for line in lines:
        mark = click.style("ok  ", fg="green") if line.ok else click.style("FAIL", fg="red", bold=True)
        click.echo(f"{mark}  {line.name:<{width}}  {line.sentence}")
        all_well = all_well and line.ok
    return 0 if all_well else 1


def _check_all(config: Path, settings: Settings) -> Iterator[Line]:
    yield Line(name=CONFIGURATION, ok=True, sentence=f"{config} is complete; the model is {settings.model.name!r}.")
    checks: list[Callable[[Settings], Iterator[Line]]] = [
        _check_kafka,
        _check_mlflow,
        check_state,
        _check_device,
        _check_keys,
    ]
    for check in checks:
        yield from check(settings)


def _check_kafka(settings: Settings) -> Iterator[Line]:
    from penstock.adapters.kafka.topics import describe

    for finding in describe(
        settings.kafka, settings.model.name, prediction_window_seconds=settings.prediction_window_seconds
    ):
        yield Line(name=finding.name, ok=finding.ok, sentence=finding.sentence)


def _check_mlflow(settings: Settings) -> Iterator[Line]:
    from penstock.adapters.mlflow.check import check

    if not settings.mlflow.enabled:
        yield Line(name="mlflow", ok=True, sentence="Switched off: nothing is recorded.")
        return
    ok, sentence = check(settings.mlflow)
    yield Line(name="mlflow", ok=ok, sentence=sentence)


def check_state(settings: Settings) -> Iterator[Line]:
    """Whether a trainer can keep its checkpoints."""
    folder = settings.state.directory.absolute()
    existing = folder
    try:
        existing = next(path for path in (folder, *folder.parents) if path.exists())
        if not existing.is_dir():
            yield Line(name="state folder", ok=False, sentence=f"{existing} is in the way: it is a file, not a folder.")
            return
        with tempfile.TemporaryFile(dir=existing):  # rights alone do not say it: some file systems take nothing
            pass
    except OSError as error:
        yield Line(name="state folder", ok=False, sentence=f"{existing} cannot be written: {error.strerror}.")
    else:
        free = os.statvfs(existing).f_bavail * os.statvfs(existing).f_frsize
        yield Line(name="state folder", ok=True, sentence=f"{folder} can be written; {free / 1e9:.1f} GB are free.")


def _check_device(settings: Settings) -> Iterator[Line]:
    from penstock.learning.device import choose_device

    try:
        device = choose_device(settings.training.device)
    except PenstockError as error:
        yield Line(name="device", ok=False, sentence=str(error))
    else:
        yield Line(name="device", ok=True, sentence=f"training.device {settings.training.device!r} runs on {device}.")


def _check_keys(settings: Settings) -> Iterator[Line]:
    """Nothing is said of keys that are not configured."""
    from penstock.processes.signing import publishing_keys, serving_keys

    for name, read in (("publishing key", publishing_keys), ("serving key", serving_keys)):
        try:
            keys = read(settings)
        except PenstockError as error:
            yield Line(name=name, ok=False, sentence=str(error))
        else:
            if keys is not None:
                yield Line(name=name, ok=True, sentence=f"{len(keys.keys)} in its file.")
