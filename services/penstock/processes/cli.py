"""The command line: what each command takes. Everything heavy is imported when its command runs.

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
from penstock.processes.configured import config_option as _config_option
from penstock.processes.configured import load as _load
from penstock.processes.dead_letters.command_line import dead_letters

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


@commands.command()
@click.option("--broker", type=click.Choice(["embedded", "kafka"]), default="embedded", show_default=True)
@click.option("--keep", is_flag=True, help="Leave everything serving until Ctrl-C.")
@click.option(
    "--directory",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("demo"),
    show_default=True,
    help="Where configuration, state, logs and the picture go; made anew.",
)
@click.option("--seed", type=int, default=0, show_default=True, help="Of the order of images and of the weights.")
def demo(broker: str, keep: bool, directory: Path, seed: int) -> int:
    """See the main job at work in a minute.

    Digits stream in two new ones at a time, replicas answer, and nothing is forgotten.
    """
    from penstock.processes.demo.run import run

    return run(directory=directory, broker=broker, keep=keep, seed=seed)


@commands.command()
@_config_option
@click.option(
    "--accept-loss",
    is_flag=True,
    help="Go on although events that were not yet learnt are gone from the topic, and record how many.",
)
def train(config: Path, accept_loss: bool) -> int:
    """Learn from the label topic.

    Announces new weights as it learns, until SIGTERM or Ctrl-C.
    """
    from penstock.processes import logs, trainer
    from penstock.processes.signals import stop_on_signals

    settings = _load(config)
    logs.configure()
    return trainer.run(settings, stop_on_signals(), accepts_loss=accept_loss)


@commands.command()
@_config_option
@click.option("--host", help="Instead of serving.host.")
@click.option("--port", type=click.IntRange(0, 65535), help="Instead of serving.port; 0 takes a free one.")
@click.option("--grpc-port", type=click.IntRange(0, 65535), help="Instead of serving.grpc_port; 0 takes a free one.")
@click.option("--processes", type=click.IntRange(1, 1024), help="Instead of serving.processes.")
def serve(config: Path, host: str | None, port: int | None, grpc_port: int | None, processes: int | None) -> int:
    """Answer with the newest weights.

    Open Inference Protocol over HTTP, and over gRPC where it has a port, until SIGTERM or Ctrl-C.
    """
    from dataclasses import replace

    settings = _load(config)
    serving = replace(
        settings.serving,
        host=settings.serving.host if host is None else host,
        port=settings.serving.port if port is None else port,
        grpc_port=settings.serving.grpc_port if grpc_port is None else grpc_port,
        processes=settings.serving.processes if processes is None else processes,
    )
    from penstock.processes import logs

    logs.configure()
    if serving.processes > 1:
        from penstock.processes import group

        return group.run(config, serving)
    from penstock.processes import replica

    return replica.run(replace(settings, serving=serving))


@commands.command()
@click.argument("file", type=click.Path(path_type=Path, allow_dash=True))
@_config_option
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

    return command.run(_load(config), file, rate=rate, rows_per_message=rows_per_message)


@commands.group()
def topics() -> None:
    """The model's topics."""


@topics.command("create")
@_config_option
@click.option("--partitions", type=click.IntRange(1), default=3, show_default=True, help="Of the label topic.")
@click.option("--replication-factor", type=click.IntRange(1), default=1, show_default=True)
def create_topics(config: Path, partitions: int, replication_factor: int) -> int:
    """Create the label, update and dead-letter topics, and the prediction topic if predictions are logged.

    Those that exist are checked and left as they are.
    """
    from penstock.processes import topics as command

    return command.create(_load(config), partitions=partitions, replication_factor=replication_factor)


commands.add_command(dead_letters)
commands.add_command(classes)


@commands.command()
@_config_option
@click.option("--replica", "replicas", multiple=True, metavar="URL", help="A replica's address; repeat for more.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document instead of a table.")
def status(config: Path, replicas: tuple[str, ...], as_json: bool) -> int:
    """Say whether the model is learning.

    Lag, events a second, accuracy, the last version and its age, and the versions on the replicas it can see.
    """
    from penstock.processes import status as command

    return command.run(_load(config), replicas=replicas, as_json=as_json)


@commands.command()
@_config_option
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

    return command.run(_load(config), output)


@commands.command()
@_config_option
@click.option("--from-topic", is_flag=True, help="Learn from the whole label topic: the default.")
@click.option(
    "--parquet",
    "files",
    multiple=True,
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    metavar="FILE",
    help="Learn from this file instead; repeat for more, in the order in which they are to be learnt.",
)
@click.option(
    "--holdout",
    type=click.FloatRange(0, 0.9, min_open=True),
    default=0.1,
    show_default=True,
    help="Share of all inputs that the fresh model does not learn, to compare on.",
)
@click.option(
    "--compare-on",
    type=click.IntRange(1),
    default=10_000,
    show_default=True,
    help="The newest events held out, at most so many.",
)
@click.option("--publish", is_flag=True, help="Put the fresh model in place of the live one, if it is better.")
@click.option("--anyway", is_flag=True, help="With --publish: also if it is not.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document instead of tables.")
def retrain(
    config: Path,
    from_topic: bool,
    files: tuple[Path, ...],
    holdout: float,
    compare_on: int,
    publish: bool,
    anyway: bool,
    as_json: bool,
) -> int:
    """Learn from scratch and compare with the live model.

    Replays the label topic, or Parquet files, into a fresh model, asks both about events that it has not learnt, and
    shows time, accuracy, each class, and where they differ. Nothing changes without --publish.
    """
    if from_topic and files:
        raise click.UsageError("give --from-topic or --parquet, not both.")
    if anyway and not publish:
        raise click.UsageError("--anyway goes with --publish.")
    from penstock.processes.retrain import run as command

    return command.run(
        _load(config),
        files=files,
        held_out_share=holdout,
        most_held_out=compare_on,
        publish_winner=publish,
        anyway=anyway,
        as_json=as_json,
    )


@commands.command()
@_config_option
def doctor(config: Path) -> int:
    """Check all that the line depends on.

    Configuration, broker, topics, MLflow, state folder and device: a sentence on what is wrong with each.
    """
    from penstock.processes import doctor as command

    return command.run(config)


if __name__ == "__main__":
    main()
