"""As many requests as a server answers, by `wrk` on the client's core."""

import json
import os
import shutil
import statistics
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from bench_serving.servers import CLIENT_CORE
from bench_serving.subject import PATH, Body

SCRIPT = Path(__file__).with_name("infer.lua")
WARM_UP_SECONDS = 1


def what_is_missing() -> str | None:
    """One sentence, or None if all that the measurements need is here."""
    for program, package in (("wrk", "wrk"), ("taskset", "util-linux")):
        if shutil.which(program) is None:
            return f"`{program}` is not installed; on Debian: apt-get install {package}."
    if len(os.sched_getaffinity(0)) <= CLIENT_CORE:
        return "There is one core here; the server and its client need one each."
    return None


def ask(port: int, body: Body, folder: Path, *, connections: int, seconds: float) -> dict[str, float]:
    """One run: requests, seconds, errors, latencies in ms; and requests a second."""
    file = folder / "body"
    file.write_bytes(body.content)
    environ = {**os.environ, "BODY": str(file), "REQUEST_PATH": PATH}
    if body.json_bytes is not None:
        environ["JSON_BYTES"] = str(body.json_bytes)
    run = subprocess.run(
        ["taskset", "-c", str(CLIENT_CORE), "wrk", *_options(connections, seconds), f"http://127.0.0.1:{port}"],
        env=environ,
        capture_output=True,
        text=True,
        check=True,
    )
    found: dict[str, float] = json.loads(run.stdout.strip().splitlines()[-1])
    return {**found, "requests_per_second": found["requests"] / found["seconds"]}


def _options(connections: int, seconds: float) -> list[str]:
    duration = f"{max(1, round(seconds))}s"
    options = {"--threads": "1", "--connections": str(connections), "--duration": duration, "--script": str(SCRIPT)}
    return [part for option in options.items() for part in option]


def in_turn(
    ports: Mapping[str, int], body: Body, folder: Path, *, connections: int, seconds: float, rounds: int
) -> dict[str, dict[str, float]]:
    """By server the medians of some rounds, taken in turn so that what else the machine does hits all alike."""
    for port in ports.values():
        ask(port, body, folder, connections=connections, seconds=WARM_UP_SECONDS)
    runs: dict[str, list[dict[str, float]]] = {name: [] for name in ports}
    for _ in range(rounds):
        for name, port in ports.items():
            runs[name].append(ask(port, body, folder, connections=connections, seconds=seconds))
    return {name: _medians(found) for name, found in runs.items()}


def _medians(runs: Sequence[Mapping[str, float]]) -> dict[str, float]:
    return {
        key: sum(run[key] for run in runs)
        if key in ("requests", "errors", "seconds")
        else statistics.median(run[key] for run in runs)
        for key in runs[0]
    }
