"""swaps: half the peak in requests at fixed times, timed from the intended start, a version swapped in every 100 ms

Ten times: a bare echo on the same server, which shows what the machine itself does to answers; then, in turn second by
second, the replica at rest and the replica while versions are swapped in.
"""

import argparse
import urllib.request
from contextlib import ExitStack
from pathlib import Path

import numpy as np
from prometheus_client.parser import text_string_to_metric_families

from bench_serving.closed_loop import ask
from bench_serving.replicas import replica
from bench_serving.requests import free_port
from bench_serving.servers import echo
from bench_serving.subject import LINEAR, json_body, weights_of
from bench_serving.swaps_picture import draw
from bench_serving.windows import Window, asked_in_turn, asked_of, resident_during
from figures import Figure

EVERY_SECONDS = 0.1
ROUNDS = 10
FLOOR_SECONDS = 3.0
PICTURE = Path("bench/serving-swaps.png")


def measure(asked: argparse.Namespace, folder: Path) -> list[Figure]:
    """All three in turn, and what swaps do to answers."""
    floor: list[Window] = []
    with ExitStack() as servers:
        running = servers.enter_context(replica(folder / "replica", LINEAR, weights_of(LINEAR)))
        echo_port = free_port()
        servers.enter_context(echo(echo_port, folder / "echo.log"))
        ask(running.port, json_body(), folder, connections=1, seconds=1)
        peak = ask(running.port, json_body(), folder, connections=1, seconds=asked.seconds)["requests_per_second"]
        at_rest = float(np.median(resident_during(running, lambda: asked_of(running.port, peak / 2, FLOOR_SECONDS))))
        swapped_before = _num_swaps(running.port)
        resident: list[float] = []
        seconds = asked.swaps * EVERY_SECONDS / ROUNDS
        in_turn: list[tuple[Window, Window]] = []
        for _ in range(ROUNDS):
            floor.append(asked_of(echo_port, peak / 2, FLOOR_SECONDS))
            resident += resident_during(
                running, lambda: in_turn.append(asked_in_turn(running, peak / 2, seconds, EVERY_SECONDS))
            )
        steady, swapping = ([pair[place] for pair in in_turn] for place in (0, 1))
        swapped = _num_swaps(running.port) - swapped_before
    draw(PICTURE, steady, swapping, np.array(running.publisher.times[1:]))
    return [
        Figure(name="requests a second asked for", value=peak / 2, unit="requests/s"),
        Figure(name="versions swapped in", value=swapped, unit="", target=0.95 * asked.swaps),
        Figure(
            name="errors",
            value=sum(window.num_errors for window in (*floor, *steady)),
            unit="",
            target=0,
            sense="at most",
        ),
        *_latencies(floor, steady, swapping),
        Figure(name="resident at rest", value=at_rest / 2**20, unit="MiB"),
        Figure(
            name="highest resident while swapping ÷ at rest",
            value=max(resident) / at_rest,
            unit="",
            target=1.05,
            sense="at most",
        ),
    ]


def _latencies(floor: list[Window], steady: list[Window], swapping: list[Window]) -> list[Figure]:
    figures = []
    for name, windows in (("bare ASGI echo", floor), ("steady", steady), ("swapping", swapping)):
        took = np.concatenate([window.took for window in windows]) * 1000
        figures += [
            Figure(name=f"{name}, p50", value=float(np.median(took)), unit="ms"),
            Figure(name=f"{name}, p99", value=float(np.quantile(took, 0.99)), unit="ms"),
            Figure(
                name=f"{name}, longest answer",
                value=float(took.max()),
                unit="ms",
                target=5.0 if windows is swapping else None,
                sense="at most",
            ),
        ]
    ratios = [swap.p99_ms / rest.p99_ms for swap, rest in zip(swapping, steady, strict=True)]
    ratio = float(np.median(ratios))
    return [
        *figures,
        Figure(name="p99, swapping ÷ steady, median of ten pairs", value=ratio, unit="", target=1.1, sense="at most"),
    ]


def _num_swaps(port: int) -> float:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as response:
        text = response.read().decode()
    return sum(
        sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == "penstock_swaps_total" and sample.labels["result"] == "swapped"
    )
