"""What `penstock dead-letters …` takes. Everything heavy is imported when a command runs."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from penstock.processes.configured import Command, config_option, load

if TYPE_CHECKING:
    from penstock.processes.dead_letters.choosing import Choice, Place
    from penstock.settings import Settings


@click.group("dead-letters")
def dead_letters() -> None:
    """What was refused, and why. The topic is a log: letters stay in it, replayed or not, until they are too old."""


def _place(text: str) -> tuple[int, int]:
    partition, _, offset = text.partition(":")
    if not (partition.isdecimal() and offset.isdecimal()):
        raise click.BadParameter(f"{text!r} is not PARTITION:OFFSET, two whole numbers such as 0:17.")
    return int(partition), int(offset)


def _starts(_context: click.Context, _option: click.Parameter, texts: tuple[str, ...]) -> dict[int, int] | None:
    """Offsets by partition; None if no place is given."""
    starts: dict[int, int] = {}
    for partition, offset in map(_place, texts):
        if partition in starts:
            raise click.BadParameter(f"partition {partition} is named twice; give each once.")
        starts[partition] = offset
    return starts or None


def _choosing(command: Command) -> Command:
    """The filters; a letter must pass all that are given."""
    for option in (
        click.option("--containing", default="", metavar="TEXT", help="Only letters whose value holds this text."),
        click.option(
            "--only",
            multiple=True,
            metavar="PARTITION:OFFSET",
            callback=lambda _context, _option, texts: frozenset(map(_place, texts)),
            help="Only this letter; repeat for others.",
        ),
        click.option(
            "--from",
            "starts",
            multiple=True,
            metavar="PARTITION:OFFSET",
            callback=_starts,
            help="Only letters of this partition of the dead-letter topic, from this offset on; repeat for others.",
        ),
        click.option("--reason", help="Only letters with this reason, as `list` counts them."),
        config_option,
    ):
        command = option(command)
    return command


def _chosen(reason: str | None, starts: dict[int, int] | None, only: "frozenset[Place]", containing: str) -> "Choice":
    from penstock.processes.dead_letters.choosing import Choice

    return Choice(reason=reason, starts=starts, only=only, containing=os.fsencode(containing))


def _ready(config: Path) -> "Settings":
    from penstock.processes import logs

    settings = load(config)
    logs.configure()
    return settings


@dead_letters.command("list")
@_choosing
@click.option("--limit", type=click.IntRange(1), default=20, show_default=True, help="Of the newest letters.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document a letter; the count goes to standard error.")
def list_(
    config: Path,
    reason: str | None,
    starts: dict[int, int] | None,
    only: "frozenset[Place]",
    containing: str,
    limit: int,
    as_json: bool,
) -> int:
    """Show the newest dead letters, newest last, and count all that are chosen by reason."""
    from penstock.processes.dead_letters.listing import show_list

    return show_list(_ready(config), _chosen(reason, starts, only, containing), limit=limit, as_json=as_json)


@dead_letters.command("show")
@config_option
@click.argument("place", metavar="PARTITION:OFFSET")
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
def show(config: Path, place: str, as_json: bool) -> int:
    """Show one letter whole: why, its own headers, key and value. `list` says where it lies."""
    from penstock.processes.dead_letters.listing import show_one

    return show_one(_ready(config), _place(place), as_json=as_json)


@dead_letters.command("replay")
@_choosing
@click.option("--dry-run", is_flag=True, help="Show what would be sent, and send nothing.")
@click.option("--again", is_flag=True, help="Send letters that an earlier replay has sent, too.")
def replay(
    config: Path,
    reason: str | None,
    starts: dict[int, int] | None,
    only: "frozenset[Place]",
    containing: str,
    dry_run: bool,
    again: bool,
) -> int:
    """Send dead letters to the label topic again: key, value and headers as they were before they were refused.

    One header is added, `penstock.replayed-from`, and a note beside the letters: stopped anywhere and run again, it
    sends none twice. Of an Arrow message of which only some rows were refused, only those rows are sent. The letters
    themselves stay in the dead-letter topic. Run one replay at a time.
    """
    from penstock.processes.dead_letters.replaying import replay as run

    return run(_ready(config), _chosen(reason, starts, only, containing), dry_run=dry_run, again=again)


@dead_letters.command("export")
@_choosing
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
def export(
    config: Path,
    reason: str | None,
    starts: dict[int, int] | None,
    only: "frozenset[Place]",
    containing: str,
    file: Path,
) -> int:
    """Write dead letters to a Parquet file: place, origin, reason, sentence, key, value and headers."""
    from penstock.processes.dead_letters.exporting import export as run

    return run(_ready(config), _chosen(reason, starts, only, containing), file)
