"""The two configurations the demo runs: one file as an operator would write it, and the same without replay."""

import socket
from dataclasses import dataclass
from pathlib import Path

MODEL = "digits"
BASELINE = "digits-without-replay"
RESERVOIR_ROWS = 200
TEMPLATE = """\
[model]
name = "{model}"
{heads}
[[model.features]]
name = "pixels"
kind = "vector"
width = 64
[model.backbone]
kind = "mlp"
hidden = [128]

[kafka]
"bootstrap.servers" = "{bootstrap_servers}"

[replay]
capacity = {capacity}

[training]
device = "auto"
seed = {seed}

[mlflow]
tracking_uri = "sqlite:///{record}"
record_interval_seconds = 5.0
enabled = {is_recorded}

[serving]
port = {port}

[telemetry]
port = {metrics_port}

[state]
directory = "{state}"
"""


@dataclass(frozen=True, kw_only=True)
class Line:
    """One trainer and its replicas: where they listen, and their configuration file."""

    model: str
    config: Path
    metrics_url: str
    replica_urls: tuple[str, ...]

    @property
    def replica_ports(self) -> tuple[str, ...]:
        """For the command line."""
        return tuple(url.rpartition(":")[2] for url in self.replica_urls)


def write_line(directory: Path, *, model: str, bootstrap_servers: str, num_replicas: int, seed: int) -> Line:
    """Write `<directory>/<model>.toml` on free ports."""
    metrics_port, *replica_ports = _free_ports(1 + num_replicas)
    state = directory / "state"
    with_replay = model == MODEL
    config = directory / f"{model}.toml"
    text = TEMPLATE.format(
        model=model,
        heads="" if with_replay else 'heads = ["linear"]',
        bootstrap_servers=bootstrap_servers,
        capacity=RESERVOIR_ROWS if with_replay else 0,
        seed=seed,
        record=state / "mlflow.db",
        is_recorded=str(with_replay).lower(),
        port=replica_ports[0],
        metrics_port=metrics_port,
        state=state,
    )
    config.write_text(text, encoding="utf-8")
    return Line(
        model=model,
        config=config,
        metrics_url=f"http://127.0.0.1:{metrics_port}/metrics",
        replica_urls=tuple(f"http://127.0.0.1:{port}" for port in replica_ports),
    )


def _free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [entry.getsockname()[1] for entry in sockets]
    for entry in sockets:
        entry.close()
    return ports
