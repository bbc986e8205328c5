"""`penstock report`: one HTML page on how the model has learnt, from its checkpoint and what MLflow has on record."""

import tempfile
from collections.abc import Sequence
from pathlib import Path

import click

from penstock.adapters.disk.checkpoints import model_folder
from penstock.adapters.disk.outline import newest_outline, outline
from penstock.adapters.mlflow.record import MlflowRecord
from penstock.adapters.mlflow.recorded_versions import recorded_versions
from penstock.clock import Clock, SystemClock
from penstock.errors import ConfigurationError, StateError, UnavailableError
from penstock.flow import Checkpoint
from penstock.report.facts import RecordedVersion
from penstock.report.from_checkpoint import COLUMNS, TENSORS, facts_of
from penstock.report.page import page
from penstock.settings import Settings
from penstock.wording import counted

VERSIONS = 20


def run(settings: Settings, output: Path) -> int:
    """Write the page and say where it is; 1 and a sentence if there is nothing to make it from.

    A trainer may be at work meanwhile.
    """
    sources: list[str] = []
    checkpoint = _on_disk(settings, sources) or _on_record(settings, sources)
    if checkpoint is None:
        click.echo(f"penstock: There is nothing to report on. {' '.join(sources)}", err=True)
        return 1
    recorded = _versions(settings, sources)
    content = _page(checkpoint, SystemClock(), recorded, sources)
    try:
        output.write_text(content, encoding="utf-8")
    except OSError as error:
        raise ConfigurationError(f"The report cannot be written to {output}: {error.strerror}.") from None
    events = counted(checkpoint.events_learnt, "event")
    click.echo(f"{output}: model {checkpoint.model}, version {checkpoint.version}, {events}.")
    return 0


def page_of(folder: Path) -> bytes:
    """The page for the checkpoint in this folder alone, for the record.

    Raises:
        OSError: the folder is gone.
    """
    checkpoint = outline(folder, tensors=TENSORS, columns=COLUMNS)
    sources = [f"Made by the trainer from its checkpoint of step {checkpoint.step}."]
    return _page(checkpoint, SystemClock(), (), sources).encode()


def _page(checkpoint: Checkpoint, clock: Clock, recorded: Sequence[RecordedVersion], sources: Sequence[str]) -> str:
    try:
        facts = facts_of(checkpoint, made_at_ms=clock.now_ms(), recorded=recorded, sources=sources)
    except KeyError as error:
        raise StateError(
            f"The checkpoint of step {checkpoint.step} lacks {error}: it was made by an earlier release that did not"
            " watch the stream. Let this release's trainer go on with it first."
        ) from None
    return page(facts)


def _on_disk(settings: Settings, sources: list[str]) -> Checkpoint | None:
    folder = model_folder(settings.state.directory, settings.model.name)
    found = newest_outline(settings.state.directory, settings.model.name, tensors=TENSORS, columns=COLUMNS)
    made_from = f"Made from the checkpoint of step {found.step}" if found else "There is no checkpoint"
    sources.append(f"{made_from} in {folder}.")
    return found


def _on_record(settings: Settings, sources: list[str]) -> Checkpoint | None:
    """The newest checkpoint that MLflow keeps, for a machine that has none."""
    if not settings.mlflow.enabled:
        sources.append("MLflow is switched off.")
        return None
    record = MlflowRecord(settings.mlflow, settings.model.name)
    with tempfile.TemporaryDirectory(prefix="penstock-report-") as scratch:
        try:
            found = record.newest_checkpoint(Path(scratch, "checkpoint"))
        except UnavailableError as error:
            sources.append(str(error))
            return None
        if not found:
            sources.append(f"MLflow at {settings.mlflow.shown_uri} has no record of this model.")
            return None
        checkpoint = outline(Path(scratch, "checkpoint"), tensors=TENSORS, columns=COLUMNS)
    shown_uri = settings.mlflow.shown_uri
    sources.append(f"Made from the checkpoint of version {checkpoint.version} in MLflow at {shown_uri}.")
    return checkpoint


def _versions(settings: Settings, sources: list[str]) -> list[RecordedVersion]:
    if not settings.mlflow.enabled:
        return []
    try:
        return recorded_versions(settings.mlflow, settings.model.name, VERSIONS)
    except UnavailableError as error:
        sources.append(f"Versions on record are left out: {error}")
        return []
