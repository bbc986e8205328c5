"""The command line: what each command takes, or where that stands. What is heavy is imported when its command runs.

`penstock --help` must not pay for torch or MLflow.
"""

import os
import signal
import sys
from pathlib import Path

import click

from penstock import __version__
from penstock.errors import PenstockError
from penstock.processes.classes.command_line import classes
from penstock.processes.configured import config_option, load
from penstock.processes.dead_letters.command_line import dead_letters
from penstock.processes.demo.command_line import demo
from penstock.processes.replica.command_line import serve
from penstock.processes.retrain.command_line import retrain
from penstock.processes.trainer.command_line import train

INTERRUPTED = 130
"""The exit code after Ctrl-C."""


def main() -> None:
    """Run the command line; an error that is not a defect ends it with one sentence and exit code 1.

    Until a command handles Ctrl-C in its own way, there is nothing to tidy up: it ends the process at once. Python's
    own way, an exception, can be swallowed by the imports that a command begins with.
    """
    signal.signal(signal.SIGINT, lambda *_: os._exit(INTERRUPTED))
    try:
        code = commands.main(standalone_mode=False)
    except click.ClickException as error:
        error.show()
        code = error.exit_code
    except (click.Abort, KeyboardInterrupt):
        code = INTERRUPTED
    except PenstockError as error:
        click.echo(f"penstock: {error}", err=True)
        code = 1
    sys.exit(code)


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="penstock")
def commands() -> None:
    """Keep a PyTorch model learning from a Kafka topic, and every replica on the newest good weights."""


commands.add_command(demo)
commands.add_command(train)
commands.add_command(serve)
commands.add_command(retrain)
commands.add_command(dead_letters)
commands.add_command(classes)


@commands.command()
@click.argument("file", type=click.Path(path_type=Path, allow_dash=True))
@config_option
@click.option(
    "--rate", type=click.FloatRange(min=0, min_open=True), help="Events a second; as fast as possible unless set."
)
@click.option(
    "--rows-per-message", type=click.IntRange(1, 100_000), default=256, show_default=True, help="For Parquet."
)
def produce(file: Path, config: Path, rate: float | None, rows_per_message: int) -> int:
    """Send labelled events from a file.

    FILE is .jsonl, .parquet, or - for JSON lines on standard input. It ends once all are acknowledged.
    """
    from penstock.processes import produce as command

    return command.run(load(config), file, rate=rate, rows_per_message=rows_per_message)


@commands.group()
def topics() -> None:
    """The model's topics."""


@topics.command("create")
@config_option
@click.option("--partitions", type=click.IntRange(1), default=3, show_default=True, help="Of the label topic.")
@click.option("--replication-factor", type=click.IntRange(1), default=1, show_default=True)
def create_topics(config: Path, partitions: int, replication_factor: int) -> int:
    """Create the label, update and dead-letter topics, and the prediction topic if predictions are logged.

    Those that exist are checked and left as they are.
    """
    from penstock.processes import topics as command

    return command.create(load(config), partitions=partitions, replication_factor=replication_factor)


@commands.command()
@config_option
@click.option("--replica", "replicas", multiple=True, metavar="URL", help="A replica's address; repeat for more.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document instead of a table.")
def status(config: Path, replicas: tuple[str, ...], as_json: bool) -> int:
    """Say whether the model is learning.

    Lag, events a second, accuracy, the last version and its age, and the versions on the replicas it can see.
    """
    from penstock.processes import status as command

    return command.run(load(config), replicas=replicas, as_json=as_json)


@commands.command()
@config_option
@click.option(
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    default=Path("report.html"),
    show_default=True,
    help="The page; replaced if it is there.",
)
def report(config: Path, output: Path) -> int:
    """Write one HTML page on how the model has learnt.

    Accuracy over time and by class, what was forgotten, drift alarms, the reservoir, the mixture of heads, confusion
    and the class ledger. From the newest checkpoint, or from MLflow's where this machine has none.
    """
    from penstock.processes import report as command

    return command.run(load(config), output)


@commands.command()
@config_option
def doctor(config: Path) -> int:
    """Check all that the line depends on.

    Configuration, broker, topics, MLflow, state folder and device: a sentence on what is wrong with each.
    """
    from penstock.processes import doctor as command

    return command.run(config)


if __name__ == "__main__":
    main()
