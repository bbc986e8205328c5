"""What `penstock retrain` takes. Everything heavy is imported when it runs."""

from pathlib import Path

import click

from penstock.processes.configured import config_option, load


@click.command()
@config_option
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
        load(config),
        files=files,
        held_out_share=holdout,
        most_held_out=compare_on,
        publish_winner=publish,
        anyway=anyway,
        as_json=as_json,
    )
