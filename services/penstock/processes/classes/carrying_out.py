"""`penstock classes`: what a model's classes are, and requests to change them, sent as events of the label topic."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from penstock.adapters.disk.reading import read_newest
from penstock.adapters.kafka.topic_names import TopicNames
from penstock.clock import to_rfc3339
from penstock.errors import ConfigurationError, InvalidEventError, StopError
from penstock.flow import ClassRequest, ClassVerb, ImportRequest, ModelUpdate
from penstock.learning.class_requests import TARGETS, check_new, concerned, listed
from penstock.learning.class_table import ClassRow, rows_of_checkpoint, rows_of_ledger
from penstock.learning.ledger import ClassLedger
from penstock.learning.packet_check import MOST_BYTES, packet_to_import
from penstock.processes.classes.controls import announced, announced_so_far, send, wait_for
from penstock.processes.classes.refusals import ends_of_letters, why_refused
from penstock.settings import Settings
from penstock.wire.control import MAX_NAME_CHARACTERS, is_name
from penstock.wording import counted, masked

if TYPE_CHECKING:
    from penstock.learning.learner import Learner

LOOK = "look at `penstock dead-letters list`."
WHAT_HAPPENS: dict[ClassVerb, str] = {
    "hibernate": "From its place in the log on they are no longer answered; their statistics wait in packets, their"
    " rows go, and the first labelled event of one wakes it.",
    "wake": "From its place in the log on they are answered again, with all they knew and all that was learnt since.",
    "retire": "From its place in the log on they are never answered again; their events are passed over and counted.",
}


def show(settings: Settings, *, as_json: bool) -> int:
    """Print the classes, from the newest checkpoint of this machine, or else from the newest update."""
    checkpoint = read_newest(settings.state.directory, settings.model.name)
    if checkpoint is not None:
        try:
            rows = rows_of_checkpoint(checkpoint)
        except (KeyError, ValueError) as error:
            raise StopError(f"The checkpoint of step {checkpoint.step} is of another release: {error}.") from None
        source, version, until = "checkpoint", checkpoint.version, checkpoint.trained_until_ms
    else:
        update, ledger = announced(settings)
        rows = rows_of_ledger(ledger)
        source, version, until = "update", update.version, update.trained_until_ms
    document = {
        "model": settings.model.name,
        "source": source,
        "version": version,
        "trained_until": to_rfc3339(until),
        "classes": [row.to_json() for row in rows],
    }
    click.echo(json.dumps(document, indent=2) if as_json else table(document, rows))
    return 0


def change(
    settings: Settings,
    verb: ClassVerb,
    *,
    names: Sequence[str],
    tenant: str | None,
    wait: bool,
    timeout_seconds: float,
) -> int:
    """Send the control event, and with `wait` see it carried out; 0 if all of that succeeded."""
    request = ClassRequest(verb=verb, classes=tuple(dict.fromkeys(names)), tenant=tenant)
    if bool(request.classes) == (tenant is not None):
        raise ConfigurationError(f"`penstock classes {verb}` takes names of classes or --tenant, and not both.")
    update, ledger = announced(settings)
    classes = _names(request, ledger, update)
    letters = ends_of_letters(settings) if wait else None
    sent = send(settings, request)
    click.echo(f"{verb} {listed(classes)}: {sent.place}. {WHAT_HAPPENS[verb]}")
    if not wait:
        return 0
    newest, after = wait_for(settings, sent, timeout_seconds)
    wrong = [name for name in classes if after.state_of(name) != TARGETS[verb]]
    if wrong:
        guess = LOOK if set(wrong) == set(classes) else "events came after it."
        why = why_refused(settings, sent, letters)
        said = f"but the trainer refused it: {why}" if why else f"but not {listed(wrong)}: {guess}"
        click.echo(f"penstock: version {newest.version} has it, {said}", err=True)
        return 1
    click.echo(f"Version {newest.version} has it.")
    return 0


def export(settings: Settings, name: str, file: Path) -> int:
    """Write the packet of a class, live or asleep, from the newest checkpoint of this machine."""
    packet = _learner_of(settings).packet_of(name)
    try:
        file.write_bytes(packet)
    except OSError as error:
        raise ConfigurationError(f"The packet cannot be written to {file}: {error.strerror}.") from None
    click.echo(f"Class {name!r} of {settings.model.name} written to {file}: {len(packet):,} bytes.")
    if len(packet) > MOST_BYTES:
        click.echo(
            f"penstock: no model can take it in: an import travels in a control event, whose packet may have"
            f" {MOST_BYTES:,} bytes.",
            err=True,
        )
    return 0


def import_packet(settings: Settings, file: Path, *, name: str | None, wait: bool, timeout_seconds: float) -> int:
    """Send a packet as a control event; 0 if it is delivered, and with `wait` taken in."""
    try:
        content = file.read_bytes()
    except OSError as error:
        raise ConfigurationError(f"The packet {file} cannot be read: {error.strerror}.") from None
    try:
        packet = packet_to_import(content)
    except InvalidEventError as error:
        raise ConfigurationError(f"{file}: {error}") from None
    if packet.schema_digest != settings.model.schema.digest:
        raise ConfigurationError(
            f"{file} is of class {packet.class_name!r} of the model {packet.model!r}, which reads other features than"
            f" model.features lists for {settings.model.name}."
        )
    taken_as = packet.class_name if name is None else name
    _check_import(settings, file, taken_as)
    letters = ends_of_letters(settings) if wait else None
    sent = send(settings, ImportRequest(packet=content, name=name))
    click.echo(
        f"import class {taken_as!r}: {sent.place}. From its place in the log on it is answered, as it was in the model"
        f" {packet.model!r} after {counted(packet.events, 'event')}."
    )
    if not wait:
        return 0
    newest, after = wait_for(settings, sent, timeout_seconds)
    index = after.index_of(taken_as)
    if index is None or after.entries[index].born_offset != sent.in_log:  # a class of this name may be another
        why = why_refused(settings, sent, letters) or LOOK
        click.echo(f"penstock: version {newest.version} has it, but the trainer refused it: {why}", err=True)
        return 1
    click.echo(f"Version {newest.version} has it.")
    return 0


def _learner_of(settings: Settings) -> "Learner":
    """What the newest checkpoint has learnt. Raises `StopError` where there is none."""
    from penstock.learning.learner import Learner

    checkpoint = read_newest(settings.state.directory, settings.model.name)
    if checkpoint is None:
        raise StopError(
            f"There is no checkpoint of {settings.model.name} under {settings.state.directory}; export where the"
            " trainer runs, or take the packet of a sleeping class from MLflow."
        )
    learner = Learner(
        settings.model,
        replace(settings.training, device="cpu"),
        settings.replay,
        topic=TopicNames(settings.model.name).labels,
        max_events=settings.intake.max_events,
    )
    learner.restore(checkpoint)
    return learner


def _names(request: ClassRequest, ledger: ClassLedger, update: ModelUpdate) -> tuple[str, ...]:
    """Of the classes concerned. Refuses at once what the trainer would refuse. Raises `ConfigurationError`."""
    try:
        return tuple(ledger.names[index] for index in concerned(request, ledger))
    except InvalidEventError as error:
        raise _said_by(update, error) from None


def _check_import(settings: Settings, file: Path, name: str) -> None:
    """Refuse at once what the trainer would refuse. Raises `ConfigurationError`."""
    if not is_name(name):
        raise ConfigurationError(
            f"{name[:80]!r} cannot be the class's name, which has 1 to {MAX_NAME_CHARACTERS} characters; --name gives"
            " it another one."
        )
    if "analytic" not in settings.model.heads:
        raise ConfigurationError(
            f"{file} cannot be taken in: model.heads has no 'analytic', which is what packets are for."
        )
    so_far = announced_so_far(settings)
    if so_far is None:
        return
    try:
        check_new(name, so_far[1], max_classes=settings.model.max_classes)
    except InvalidEventError as error:
        raise _said_by(so_far[0], error) from None


def _said_by(update: ModelUpdate, error: InvalidEventError) -> ConfigurationError:
    where = f"so says version {update.version} of {update.model}; `penstock classes list` shows its classes."
    return ConfigurationError(f"{error} ({where})")


def table(document: dict[str, object], rows: Sequence[ClassRow]) -> str:
    """For people: the document's title and a line for each class."""
    header = ("index", "name", "state", "events", "rows", "recall", "tenant")
    cells = [
        (
            str(row.index),
            masked(row.name),
            row.state,
            "–" if row.events is None else f"{row.events:,}",
            "–" if row.rows is None else f"{row.rows:,}",
            "–" if row.recall is None else f"{row.recall:.3f}",
            masked(row.tenant or "–"),
        )
        for row in rows
    ]
    widths = [max(len(line[place]) for line in (header, *cells)) for place in range(len(header))]
    lines = (
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) for line in (header, *cells)
    )
    title = f"{counted(len(rows), 'class', 'classes')} of {document['model']}, version {document['version']}"
    return "\n".join([f"{title}, from the {document['source']}", *lines])
