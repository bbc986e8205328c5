"""What `penstock serve` takes. Everything heavy is imported when it runs."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from penstock.processes.configured import config_option, load
from penstock.processes.signals import end_at_once_on_sigterm


@click.command()
@config_option
@click.option("--host", help="Instead of serving.host.")
@click.option("--port", type=click.IntRange(0, 65535), help="Instead of serving.port; 0 takes a free one.")
@click.option("--grpc-port", type=click.IntRange(0, 65535), help="Instead of serving.grpc_port; 0 takes a free one.")
@click.option("--processes", type=click.IntRange(1, 1024), help="Instead of serving.processes.")
def serve(config: Path, host: str | None, port: int | None, grpc_port: int | None, processes: int | None) -> int:
    """Answer with the newest weights.

    Open Inference Protocol over HTTP, and over gRPC where it has a port, until SIGTERM or Ctrl-C.
    """
    end_at_once_on_sigterm()
    from penstock.processes import logs

    settings = load(config)
    logs.configure()
    given: dict[str, Any] = {"host": host, "port": port, "grpc_port": grpc_port, "processes": processes}
    serving = replace(settings.serving, **{key: value for key, value in given.items() if value is not None})
    if serving.processes > 1:
        from penstock.processes.replica import group

        return group.run(config, serving)
    from penstock.processes.replica.run import run

    return run(replace(settings, serving=serving))
