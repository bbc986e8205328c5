"""Other libraries on the very same rows: each in its own environment, in a process of its own."""

import json
import os
import subprocess
import tempfile
import threading
from collections.abc import Generator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np

from bench_learning.row import Row
from bench_learning.stream import Stream, StreamOf
from peer_environments import NotInstallableError, python_of

HERE = Path(__file__).parent
LIMIT_SECONDS = 1200.0
SEEDS = range(3)
"""They take long."""


@dataclass(frozen=True, kw_only=True)
class Peer:
    """One library, its script, and which of its methods play what."""

    key: str
    title: str
    script: str
    on_tables: Sequence[str] = ()
    on_images: Sequence[str] = ()
    for_speed: Sequence[str] = ()

    def methods_for(self, row: Row, stream: Stream) -> Sequence[str]:
        """Those that have a chance on such a row."""
        if row.alone:
            return self.for_speed
        return self.on_images if stream.kind == "vector" else self.on_tables


PEERS = (
    Peer(
        key="river",
        title="river",
        script="play_river.py",
        on_tables=("ARF", "AMF", "SRP", "softmax"),
        on_images=("ARF", "softmax", "naive Bayes"),
        for_speed=("one-vs-rest", "softmax"),
    ),
    Peer(
        key="deep-river",
        title="deep-river",
        script="play_deep_river.py",
        on_tables=("MLP, 1 a step", "MLP, 32 a step"),
        on_images=("MLP, 1 a step", "MLP, 32 a step"),
        for_speed=("MLP, 1 a step", "MLP, 32 a step", "MLP, 256 a step"),
    ),
    Peer(
        key="avalanche",
        title="Avalanche",
        script="play_avalanche.py",
        on_images=("replay", "replay, 5 passes", "ER-ACE, 5 passes", "DER, 5 passes", "SLDA"),
        for_speed=("replay", "replay, 256 a step"),
    ),
    Peer(
        key="capymoa",
        title="CapyMOA",
        script="play_capymoa.py",
        on_tables=("ARF", "SRP", "kNN", "SAMkNN", "LevBag"),
        on_images=("NCM", "SLDA", "GDumb", "ER", "ER, 5 passes"),
        for_speed=("ER, 32 a step", "ER, 256 a step"),
    ),
)


@dataclass(frozen=True, kw_only=True)
class PeerMeasurement:
    """What one method of a peer reached on one stream."""

    peer: str
    method: str
    row: str
    seed: int
    figures: dict[str, float] = field(default_factory=dict)
    missing: str = ""

    def to_json(self) -> dict[str, object]:
        """Plain values."""
        return asdict(self)


class Comparison:
    """Plays the peers that can be installed; `unavailable` says of the others why not."""

    def __init__(self) -> None:
        self.unavailable: dict[str, str] = {}
        self._pythons: dict[str, Path] = {}
        self._children: set[subprocess.Popen[str]] = set()
        self._lock = threading.Lock()
        for peer in PEERS:
            try:
                self._pythons[peer.key] = python_of(peer.key, HERE / "requirements" / f"{peer.key}.txt")
            except NotInstallableError as error:
                self.unavailable[peer.key] = str(error)

    def measured(
        self, rows: Sequence[Row], num_processes: int, seeds: Sequence[int]
    ) -> Generator[list[PeerMeasurement]]:
        """Every peer on every row that has a stream, as they are ready. Closing the iterator ends the processes."""
        jobs = [
            (peer, row, row.stream, seed)
            for row in rows
            if row.stream is not None
            for seed in seeds
            for peer in PEERS
            if peer.key in self._pythons
        ]
        with ThreadPoolExecutor(num_processes) as threads:
            ready = [threads.submit(self._play, *job) for job in jobs]
            try:
                for future in as_completed(ready):
                    yield future.result()
            finally:
                for future in ready:
                    future.cancel()
                self._end_children()

    def _play(self, peer: Peer, row: Row, stream_of: StreamOf, seed: int) -> list[PeerMeasurement]:
        stream = stream_of(seed)
        methods = peer.methods_for(row, stream)
        if not methods:
            return []
        with tempfile.TemporaryDirectory() as folder:
            given, found = Path(folder) / "stream.npz", Path(folder) / "figures.json"
            save_arrays(given, stream, timed=row.alone)
            reason = self._run(peer, [str(given), str(found), "--seed", str(seed), "--methods", *methods])
            figures = json.loads(found.read_text()) if found.exists() else {}
        return [
            PeerMeasurement(
                peer=peer.key,
                method=method,
                row=row.key,
                seed=seed,
                figures={name: value for name, value in figures.get(method, {}).items() if name != "failed"},
                missing=figures.get(method, {"failed": reason}).get("failed", ""),
            )
            for method in methods
        ]

    def _run(self, peer: Peer, arguments: list[str]) -> str:
        """Empty, or why it ended badly."""
        command = [str(self._pythons[peer.key]), "-W", "ignore", str(HERE / peer.script), *arguments]
        child = subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=_environment()
        )
        with self._lock:
            self._children.add(child)
        try:
            _, errors = child.communicate(timeout=LIMIT_SECONDS)
        except subprocess.TimeoutExpired:
            child.kill()
            child.communicate()
            return f"not done within {LIMIT_SECONDS:.0f} s"
        finally:
            with self._lock:
                self._children.discard(child)
        return "" if child.returncode == 0 else (errors.strip().splitlines() or ["no reason given"])[-1]

    def _end_children(self) -> None:
        with self._lock:
            for child in self._children:
                child.kill()


def save_arrays(path: Path, stream: Stream, *, timed: bool) -> None:
    """The stream as every peer reads it (see `exchange.py`); classes are counted in order of appearance."""
    names, first, places = np.unique(stream.labels, return_index=True, return_inverse=True)
    index = np.empty(len(names), dtype=np.int64)
    index[np.argsort(first)] = np.arange(len(names))
    held = [int(index[np.searchsorted(names, name)]) for name in stream.held_labels]
    np.savez(
        path,
        rows=stream.rows,
        classes=index[places],
        held_rows=stream.held_rows,
        held_classes=np.array(held, dtype=np.int64),
        memory=np.array(stream.memory),
        timed=np.array(int(timed)),
    )


def _environment() -> dict[str, str]:
    """Ours without our paths; one thread each."""
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    return kept | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


def best_of(measurements: Sequence[PeerMeasurement], peer: str, row: str, figure: str) -> tuple[float, str] | None:
    """The highest mean over the seeds of a peer's methods on a row, and the method."""
    by_method: dict[str, list[float]] = {}
    for one in measurements:
        if one.peer == peer and one.row == row and figure in one.figures:
            by_method.setdefault(one.method, []).append(one.figures[figure])
    means = {method: float(np.mean(values)) for method, values in by_method.items()}
    return max((mean, method) for method, mean in means.items()) if means else None
