"""swaps: half the peak in requests at fixed times, timed from the intended start, a version swapped in every 100 ms"""

import argparse
import subprocess
import sys
import threading
import urllib.request
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import psutil
from prometheus_client.parser import text_string_to_metric_families

from bench_serving.closed_loop import ask
from bench_serving.replicas import Running, replica
from bench_serving.subject import LINEAR, PATH, json_body, weights_of
from figures import Figure

EVERY_SECONDS = 0.1
STEADY_SECONDS = 15.0
PICTURE = Path("bench/serving-swaps.png")
CLIENT = Path(__file__).with_name("open_loop.py")
MEMORY_EVERY_SECONDS = 0.05

Float64s = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Asked:
    """`due` and `took` in seconds, by request; `resident` bytes of the replica, by sample."""

    due: Float64s
    took: Float64s
    num_errors: int
    resident: Float64s

    @property
    def p99_ms(self) -> float:
        return float(np.quantile(self.took, 0.99)) * 1000


def measure(asked: argparse.Namespace, folder: Path) -> list[Figure]:
    """Steady, swapping, and steady again."""
    seconds = asked.swaps * EVERY_SECONDS
    with replica(folder / "replica", LINEAR, weights_of(LINEAR)) as running:
        ask(running.port, json_body(), folder, connections=1, seconds=1)
        peak = ask(running.port, json_body(), folder, connections=1, seconds=asked.seconds)["requests_per_second"]
        before = _asked(running, peak / 2, STEADY_SECONDS)
        swapped_before = _num_swaps(running.port)
        swapping = _asked_while_swapping(running, peak / 2, seconds)
        swapped = _num_swaps(running.port) - swapped_before
        after = _asked(running, peak / 2, STEADY_SECONDS)
        appended = np.array(running.publisher.times[1:])
    _draw(swapping, appended)
    steady = np.concatenate((before.took, after.took))
    steady_p99 = float(np.quantile(steady, 0.99)) * 1000
    in_use = float(np.median(before.resident))
    return [
        Figure(name="requests a second asked for", value=peak / 2, unit="requests/s"),
        Figure(name="versions swapped in", value=swapped, unit="", target=0.95 * asked.swaps),
        Figure(
            name="errors",
            value=before.num_errors + swapping.num_errors + after.num_errors,
            unit="",
            target=0,
            sense="at most",
        ),
        Figure(name="steady p50", value=float(np.median(steady)) * 1000, unit="ms"),
        Figure(name="steady p99", value=steady_p99, unit="ms"),
        Figure(name="swapping p50", value=float(np.median(swapping.took)) * 1000, unit="ms"),
        Figure(name="swapping p99", value=swapping.p99_ms, unit="ms"),
        Figure(name="p99, swapping ÷ steady", value=swapping.p99_ms / steady_p99, unit="", target=1.1, sense="at most"),
        Figure(name="longest answer, steady", value=float(steady.max()) * 1000, unit="ms"),
        Figure(
            name="longest answer, swapping",
            value=float(swapping.took.max()) * 1000,
            unit="ms",
            target=5,
            sense="at most",
        ),
        Figure(name="resident before", value=in_use / 2**20, unit="MiB"),
        Figure(
            name="highest resident while swapping ÷ before",
            value=float(swapping.resident.max()) / in_use,
            unit="",
            target=1.05,
            sense="at most",
        ),
    ]


def _asked_while_swapping(running: Running, rate: float, seconds: float) -> Asked:
    stopped = threading.Event()
    publishing = threading.Thread(target=running.publisher.publish_every, args=(EVERY_SECONDS, stopped))
    publishing.start()
    try:
        return _asked(running, rate, seconds)
    finally:
        stopped.set()
        publishing.join()


def _asked(running: Running, rate: float, seconds: float) -> Asked:
    body = json_body()
    client = subprocess.Popen(
        [sys.executable, str(CLIENT), str(running.port), PATH, str(rate), str(seconds)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    resident: list[float] = []
    done = threading.Event()
    sampling = threading.Thread(target=_sample, args=(running.process.pid, resident, done))
    sampling.start()
    try:
        output, said = client.communicate(body.content, timeout=seconds + 120)
    finally:
        done.set()
        sampling.join()
    assert client.returncode == 0, said.decode()
    pairs = np.frombuffer(output, dtype=np.float64).reshape(-1, 2)
    return Asked(due=pairs[:, 0], took=pairs[:, 1], num_errors=int(said), resident=np.array(resident))


def _sample(pid: int, resident: list[float], done: threading.Event) -> None:
    process = psutil.Process(pid)
    while not done.wait(MEMORY_EVERY_SECONDS):
        resident.append(process.memory_info().rss)


def _num_swaps(port: int) -> float:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as response:
        text = response.read().decode()
    return sum(
        sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == "penstock_swaps_total" and sample.labels["result"] == "swapped"
    )


def _draw(swapping: Asked, appended: Float64s) -> None:
    """Every answer as a dot, every append as a line: all of the run above, two of its seconds below."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    began = swapping.due[0]
    at, took = swapping.due - began, swapping.took * 1000
    marks = appended - began
    figure, (whole, part) = pyplot.subplots(2, 1, figsize=(11, 7), layout="constrained")
    middle = at[-1] / 2
    for axes, first, last in ((whole, 0.0, at[-1]), (part, middle, middle + 2)):
        shown, lines = (at >= first) & (at <= last), marks[(marks >= first) & (marks <= last)]
        axes.vlines(
            lines, 0.05, 10, colors="tab:orange", linewidth=0.5 if axes is part else 0.1, label="update appended"
        )
        axes.plot(at[shown], took[shown], ".", markersize=2 if axes is part else 0.7, color="tab:blue", label="answer")
        axes.set(yscale="log", ylim=(0.05, 20), xlim=(first, last), ylabel="ms from intended start")
        axes.grid(alpha=0.3)
    whole.set_title("Latency while a version is swapped in every 100 ms")
    part.set_xlabel("seconds")
    part.legend(loc="upper right", markerscale=4)
    PICTURE.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(PICTURE, dpi=130)
    pyplot.close(figure)
