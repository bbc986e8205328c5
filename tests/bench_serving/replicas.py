"""A replica on a broker of its own, on the server's core."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench_serving.servers import SERVER_CORE, pin
from bench_serving.subject import CONFIGURATION, HIDDEN, MODEL, MOST_INLINE_BYTES, Publisher
from line import Process, line, served_version
from penstock.adapters.kafka.embedded import EmbeddedBroker
from penstock.flow import Weights
from waiting import wait_for


@dataclass(frozen=True, kw_only=True)
class Running:
    """A replica that serves version 1, and what announces more."""

    process: Process
    port: int
    publisher: Publisher
    ready_seconds: float
    """From the start of the process."""


@contextmanager
def replica(
    folder: Path,
    heads: Sequence[str],
    weights: Sequence[Weights],
    *,
    hidden: tuple[int, ...] = HIDDEN,
    by_uri: bool = False,
    deltas: bool = False,
) -> Iterator[Running]:
    """Until the end of `with`; weights travel inline, `by_uri` as files, or the first so and the others as `deltas`."""
    folder.mkdir(parents=True)
    stored = folder / "weights"
    stored.mkdir()
    with EmbeddedBroker() as broker:
        broker.create_topic(f"{MODEL}.updates", 1)
        text = CONFIGURATION.format(
            heads=list(heads),
            hidden=list(hidden),
            most_inline_bytes=MOST_INLINE_BYTES,
            servers=broker.bootstrap_servers,
            state=folder / "state",
            weights=stored.as_uri(),
        )
        with line(folder, broker.bootstrap_servers, MODEL, text) as running:
            publisher = Publisher(
                broker.bootstrap_servers, weights, stored if by_uri or deltas else None, deltas=deltas
            )
            publisher.publish()
            began = time.monotonic()
            process, url = running.start_replica()
            pin(process.pid, SERVER_CORE)
            wait_for(lambda: served_version(url, MODEL) == 1, "the replica is ready", every_seconds=0.01)
            ready_seconds = time.monotonic() - began
            port = int(url.rsplit(":", 1)[1])
            yield Running(process=process, port=port, publisher=publisher, ready_seconds=ready_seconds)
