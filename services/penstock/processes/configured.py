"""What every command takes: the configuration file."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from penstock.settings import Settings

Command = TypeVar("Command", bound=Callable[..., Any])


def config_option(command: Command) -> Command:
    """`--config FILE`."""
    option = click.option(
        "--config",
        "config",
        type=click.Path(path_type=Path, dir_okay=False),
        default=Path("penstock.toml"),
        show_default=True,
        help="The configuration file (TOML).",
    )
    return option(command)


def load(config: Path) -> "Settings":
    """The settings; imported when a command runs, as `penstock --help` must not pay for what they import.

    Beside what a command says, only warnings are logged, unless it configures its log anew.
    """
    import logging

    from penstock import failpoints, settings
    from penstock.processes import logs

    logs.configure(logging.WARNING)
    failpoints.arm(settings.failpoints_named())
    return settings.load(config)
