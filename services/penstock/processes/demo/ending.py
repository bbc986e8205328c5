"""What stays when the demo ends: a table, a picture, a copy of the metrics, and where to look further."""

import json
import sys
import urllib.request
from pathlib import Path

import numpy as np
from rich.table import Table

from penstock.processes.demo.configuration import RESERVOIR_ROWS, Line
from penstock.processes.demo.picture import draw
from penstock.processes.demo.replica_client import request_body
from penstock.processes.demo.show import Show
from penstock.processes.demo.view import View


def save_metrics(lines: tuple[Line, Line], directory: Path) -> None:
    """Keep what trainer and replicas exposed, as Prometheus text, under `metrics/`."""
    folder = directory / "metrics"
    folder.mkdir(exist_ok=True)
    addresses = {f"trainer-{line.model}": line.metrics_url for line in lines}
    for line in lines:
        for index, url in enumerate(line.replica_urls, 1):
            addresses[f"replica-{index}-{line.model}"] = f"{url}/metrics"
    for name, address in addresses.items():
        with urllib.request.urlopen(address, timeout=2.0) as response:
            (folder / f"{name}.txt").write_bytes(response.read())


def show_result(show: Show, directory: Path, view: View) -> Path:
    """Print the table, write `result.json` and the picture; returns the picture's path."""
    with_replay, without = (examiner.history for examiner in show.examiners)
    freshness = show.freshness_seconds()
    view.say(f"\nAccuracy on held-out images after all ten digits (reservoir: {RESERVOIR_ROWS} rows)")
    table = Table(box=None, padding=(0, 1, 0, 0))
    table.add_column("")
    for digit in range(10):
        table.add_column(str(digit), justify="right", no_wrap=True)
    table.add_column("all", justify="right", style="bold", no_wrap=True)
    for name, marks in (("with replay", with_replay[-1]), ("without replay", without[-1])):
        table.add_row(name, *(f"{marks.by_digit[digit]:.2f}" for digit in range(10)), f"{marks.accuracy:.3f}")
    view.table(table)
    view.say(
        "(the same network, seed and stream; with replay the heads beside it remember too, without it nothing does)\n"
    )
    p50, p99 = (float(np.percentile(freshness, share)) for share in (50, 99))
    view.say(
        f"freshness  p50 {p50 * 1000:.0f} ms, p99 {p99 * 1000:.0f} ms, label produced → first answer that has learnt it"
        f"\n           {len(freshness):,} measurements at 2 replicas, {show.num_versions} versions"
    )
    result = {
        "accuracy_with_replay": with_replay[-1].accuracy,
        "accuracy_without_replay": without[-1].accuracy,
        "freshness_p50_seconds": p50,
        "freshness_p99_seconds": p99,
        "events": show.stream.num_events,
        "versions": show.num_versions,
        "reservoir_rows": RESERVOIR_ROWS,
    }
    (directory / "result.json").write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    picture = directory / "digits.png"
    draw(picture, stream=show.stream, with_replay=with_replay, without_replay=without, freshness_seconds=freshness)
    return picture


def say_how_to_look(directory: Path, picture: Path, line: Line, view: View, *, keep: bool) -> None:
    """Where everything is, and how to open it."""
    view.say(f"picture    {picture}")
    view.say(f"figures    {directory / 'result.json'}; logs in {directory / 'logs'}")
    database = directory / "state" / "mlflow.db"
    view.say(f"MLflow     {_beside_python('mlflow')} ui --backend-store-uri sqlite:///{database}")
    if not keep:
        view.say(f"metrics    {directory / 'metrics'} (as scraped at the end; live with --keep)")
        return
    view.say(f"metrics    {line.metrics_url} and {' '.join(f'{url}/metrics' for url in line.replica_urls)}")
    body = directory / "request.json"
    body.write_text(json.dumps(request_body(np.zeros((1, 64), dtype=np.float32))), encoding="utf-8")
    view.say("ask        " + f"curl -s {line.replica_urls[0]}/v2/models/{line.model}/infer -d @{body}")
    view.say("Everything keeps serving; Ctrl-C stops it.")


def _beside_python(program: str) -> Path:
    """A program of this environment, as short as it can be typed from here."""
    path = Path(sys.executable).with_name(program)
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
