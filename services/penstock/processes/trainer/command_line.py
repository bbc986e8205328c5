"""What `penstock train` takes. Everything heavy is imported when it runs."""

from pathlib import Path

import click

from penstock.processes.configured import config_option, load
from penstock.processes.signals import end_at_once_on_sigterm, stop_on_signals


@click.command()
@config_option
@click.option(
    "--accept-loss",
    is_flag=True,
    help="Go on although events that were not yet learnt are gone from the topic, and record how many.",
)
def train(config: Path, accept_loss: bool) -> int:
    """Learn from the label topic.

    Announces new weights as it learns, until SIGTERM or Ctrl-C.
    """
    end_at_once_on_sigterm()
    from penstock.processes import logs
    from penstock.processes.trainer.run import run

    settings = load(config)
    logs.configure()
    return run(settings, stop_on_signals(), accepts_loss=accept_loss)
