"""What `penstock classes …` takes. Everything heavy is imported when a command runs."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from penstock.processes.configured import Command, config_option, load

if TYPE_CHECKING:
    from penstock.flow import ClassVerb


@click.group()
def classes() -> None:
    """The model's classes. Changes go through the label topic, so that each has a place in the order of events."""


@classes.command("list")
@config_option
@click.option("--json", "as_json", is_flag=True, help="One JSON document instead of a table.")
def list_classes(config: Path, as_json: bool) -> int:
    """Show the classes: state, events, rows kept for replay, recall and tenant.

    From the newest checkpoint under state.directory; where there is none, what the newest update says.
    """
    from penstock.processes import logs
    from penstock.processes.classes import carrying_out as command

    settings = load(config)
    logs.configure()
    return command.show(settings, as_json=as_json)


def _waiting(command: Command) -> Command:
    command = click.option("--wait", is_flag=True, help="Until a version that has it is announced.")(command)
    return click.option(
        "--timeout",
        "timeout_seconds",
        type=click.FloatRange(min=0, min_open=True),
        default=60.0,
        show_default=True,
        metavar="SECONDS",
        help="For --wait.",
    )(command)


def _changing(verb: "ClassVerb", text: str) -> None:
    @classes.command(verb, help=text)
    @click.argument("names", nargs=-1, metavar="[CLASS]...")
    @config_option
    @click.option("--tenant", help="All classes that only this tenant has used, instead of naming them.")
    @_waiting
    def change(names: tuple[str, ...], config: Path, tenant: str | None, wait: bool, timeout_seconds: float) -> int:
        from penstock.processes import logs
        from penstock.processes.classes import carrying_out as command

        settings = load(config)
        logs.configure()
        return command.change(settings, verb, names=names, tenant=tenant, wait=wait, timeout_seconds=timeout_seconds)


_changing("hibernate", "Put classes to sleep: their statistics move to packets of a few KB, their rows go.")
_changing("wake", "Wake classes: they answer as well as if they had never slept.")
_changing("retire", "End classes for good: they are never answered again, and their events are passed over.")


@classes.command("export")
@click.argument("name", metavar="CLASS")
@config_option
@click.option(
    "--output",
    "file",
    type=click.Path(path_type=Path, dir_okay=False, writable=True),
    required=True,
    help="Where the packet goes.",
)
def export_class(name: str, config: Path, file: Path) -> int:
    """Write a class's packet, live or asleep, from the newest checkpoint under state.directory.

    A few KB of statistics, more where rows are wide, and none of its data: for another model with the same features,
    or to keep.
    """
    from penstock.processes import logs
    from penstock.processes.classes import carrying_out as command

    settings = load(config)
    logs.configure()
    return command.export(settings, name, file)


@classes.command("import")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@config_option
@click.option("--name", help="Of the class here, instead of the packet's.")
@_waiting
def import_class(file: Path, config: Path, name: str | None, wait: bool, timeout_seconds: float) -> int:
    """Take in a class from another model's packet; that model must read the same features."""
    from penstock.processes import logs
    from penstock.processes.classes import carrying_out as command

    settings = load(config)
    logs.configure()
    return command.import_packet(settings, file, name=name, wait=wait, timeout_seconds=timeout_seconds)
