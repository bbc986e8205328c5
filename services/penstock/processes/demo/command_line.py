"""What `penstock demo` takes. Everything heavy is imported when it runs."""

from pathlib import Path

import click


@click.command()
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
