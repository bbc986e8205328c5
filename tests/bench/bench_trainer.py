"""trainer: events/s of the whole process on real Kafka beside a raw torch loop doing the same steps on ready tensors

Checkpoints and publication are on. MLflow is off: its import, once a process, would be a third of so short a run.
"""

import re
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from figures import Figure
from label_logs import CLASSES, WIDTH, arrow_values, fill, json_values
from line import Line, line
from penstock.adapters.kafka.local_kafka import LocalKafka
from waiting import wait_for

INNER_STEPS = 3
REPLAYED = 64
HIDDEN = 128
REPEATS = 2
RAW_SECONDS = 3.0
JSON, ARROW = "application/json", "application/vnd.apache.arrow.stream"


def measure() -> list[Figure]:
    """JSON and Arrow at batch 256 and 32; the raw loop runs before and after each, alone.

    The target is for Arrow: on two cores, decoding decimal numbers and the broker have the second core to share.
    """
    figures = []
    with tempfile.TemporaryDirectory() as folder, LocalKafka(Path(folder) / "kafka") as kafka:
        for batch, events in ((256, 600_000), (32, 120_000)):
            for kind, values in ((JSON, json_values(events)), (ARROW, arrow_values(events))):
                ours, raw = _side_by_side(Path(folder), kafka.bootstrap_servers, batch, values, kind)
                name = f"batch {batch}, {'JSON' if kind == JSON else 'Arrow'}"
                target = 0.8 if kind == ARROW else None
                figures += [
                    Figure(name=f"{name}: trainer", value=ours, unit="events/s"),
                    Figure(name=f"{name}: raw loop", value=raw, unit="events/s"),
                    Figure(
                        name=f"{name}: trainer ÷ raw loop",
                        value=ours / raw,
                        unit="",
                        target=target,
                    ),
                ]
    return figures


def _side_by_side(
    folder: Path, bootstrap_servers: str, batch: int, values: Iterator[bytes], kind: str
) -> tuple[float, float]:
    model = f"b{batch}-{'json' if kind == JSON else 'arrow'}"
    directory = folder / model
    directory.mkdir()
    with line(directory, bootstrap_servers, model, "") as running:
        fill(bootstrap_servers, running.topics.labels, values, kind)
        ours, raw = [], [_raw(batch)]
        for repeat in range(REPEATS):
            running.config.write_text(_configuration(model, bootstrap_servers, directory / f"state-{repeat}", batch))
            if not repeat:
                assert running.run("topics", "create").returncode == 0
            ours.append(_trainer(running))
            raw.append(_raw(batch))
    return statistics.median(ours), statistics.median(raw)


def _raw(batch: int) -> float:
    """In a process of its own, as the trainer has one."""
    code = (
        "import torch; torch.set_num_threads(1); from raw_loop import raw_events_per_second as r; "
        f"print(r(features={WIDTH}, hidden={HIDDEN}, classes={CLASSES}, batch={batch}, replayed={REPLAYED}, "
        f"inner_steps={INNER_STEPS}, seconds={RAW_SECONDS}))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parent, check=True, capture_output=True)
    return float(done.stdout)


def _trainer(running: Line) -> float:
    """Events a second between the first tenth and the end of the log, publishing and checkpoints on."""
    trainer = running.start_trainer()
    url = str(wait_for(lambda: trainer.says("metrics"), "the trainer starts")["url"])
    wait_for(lambda: trainer.says("learning on"), "the trainer learns")
    samples: list[tuple[float, float]] = []

    def lag_is_gone() -> bool:
        text = urllib.request.urlopen(url, timeout=5).read().decode()
        learnt = re.search(r"^penstock_events_learnt_total ([\d.e+]+)$", text, re.MULTILINE)
        samples.append((time.perf_counter(), float(learnt[1]) if learnt else 0.0))
        return len(samples) > 6 and samples[-1][1] > 0 and samples[-1][1] == samples[-3][1]

    wait_for(lag_is_gone, "the whole log is learnt", 300, every_seconds=0.25)
    trainer.stop()
    last = samples[-1][1]
    moving = [(at, learnt) for at, learnt in samples if 0.1 * last <= learnt < last]
    return (moving[-1][1] - moving[0][1]) / (moving[-1][0] - moving[0][0])


def _configuration(model: str, bootstrap_servers: str, state: Path, batch: int) -> str:
    return f"""
[model]
name = "{model}"
heads = ["linear"]
[[model.features]]
name = "pixels"
kind = "vector"
width = {WIDTH}
[model.backbone]
hidden = [{HIDDEN}]
[kafka]
"bootstrap.servers" = "{bootstrap_servers}"
[intake]
max_events = {batch}
[replay]
rows_per_step = {REPLAYED}
[training]
device = "cpu"
inner_steps = {INNER_STEPS}
[mlflow]
enabled = false
[telemetry]
port = 0
[state]
directory = "{state}"
"""
