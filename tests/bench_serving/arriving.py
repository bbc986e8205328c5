"""arriving: from an update's append to the first answer with it

Whoever waits for it asks 2,000 times a second, and where that is said without a pause, which leaves a replica on one
core no time but what the system takes from answers.
"""

import argparse
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from bench_serving.replicas import Running, replica
from bench_serving.subject import LINEAR, PATH, json_body, weights_of
from figures import Figure
from raw_connection import RawConnection, request_of

INLINE_UPDATES, LARGE_UPDATES, DELTAS = 100, 7, 30
LARGE_HIDDEN = (11_800, 1_250)
"""Of an MLP whose weights take 100 MB, 50 KB of which are its head."""
PAUSE_SECONDS = 0.05
ASKED_EVERY_SECONDS = 0.0005


def measure(_asked: argparse.Namespace, folder: Path) -> list[Figure]:
    """Inline, by URI from a file store, and as deltas of what came by URI."""
    small = weights_of(LINEAR)
    with replica(folder / "inline", LINEAR, small) as running:
        inline = _arrivals(running, INLINE_UPDATES)
        without_pause = _arrivals(running, INLINE_UPDATES, asked_every_seconds=0.0)
    large = weights_of(LINEAR, hidden=LARGE_HIDDEN, versions=3, frozen=True)
    with replica(folder / "by-uri", LINEAR, large, hidden=LARGE_HIDDEN, by_uri=True) as running:
        by_uri = _arrivals(running, LARGE_UPDATES)
    with replica(folder / "deltas", LINEAR, large, hidden=LARGE_HIDDEN, deltas=True) as running:
        deltas = _arrivals(running, DELTAS)
    megabytes = [content[0].size_bytes / 1e6 for content in (small, large)]
    return [
        Figure(
            name=f"{megabytes[0]:.1f} MB inline, p50", value=_ms(inline, 0.5), unit="ms", target=20, sense="at most"
        ),
        Figure(
            name=f"{megabytes[0]:.1f} MB inline, p99", value=_ms(inline, 0.99), unit="ms", target=100, sense="at most"
        ),
        Figure(
            name=f"{megabytes[0]:.1f} MB inline, asked without a pause, p50", value=_ms(without_pause, 0.5), unit="ms"
        ),
        Figure(
            name=f"{megabytes[0]:.1f} MB inline, asked without a pause, p99", value=_ms(without_pause, 0.99), unit="ms"
        ),
        Figure(name=f"{megabytes[1]:.0f} MB by URI, p50", value=_ms(by_uri, 0.5), unit="ms"),
        Figure(name=f"{megabytes[1]:.0f} MB by URI, longest", value=_ms(by_uri, 1.0), unit="ms"),
        Figure(name=f"{megabytes[1]:.0f} MB as a delta, p50", value=_ms(deltas, 0.5), unit="ms"),
        Figure(name=f"{megabytes[1]:.0f} MB as a delta, longest", value=_ms(deltas, 1.0), unit="ms"),
    ]


def _arrivals(running: Running, count: int, asked_every_seconds: float = ASKED_EVERY_SECONDS) -> list[float]:
    """Seconds, one by one."""
    body = json_body()
    request, found = request_of(PATH, body.content), []
    connection = RawConnection(running.port)
    for _ in range(count):
        time.sleep(PAUSE_SECONDS)
        running.publisher.publish()
        wanted = f'"model_version":"{running.publisher.version}"'.encode()
        due = time.monotonic()
        while wanted not in connection.exchange(request)[1]:
            due += asked_every_seconds
            time.sleep(max(due - time.monotonic(), 0.0))
        found.append(time.monotonic() - running.publisher.times[-1])
    return found


def _ms(seconds: Sequence[float], quantile: float) -> float:
    return float(np.quantile(seconds, quantile)) * 1000
