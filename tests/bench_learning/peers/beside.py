"""What other libraries reached, as columns beside ours."""

import sys
from collections.abc import Sequence
from contextlib import closing
from functools import partial

from bench_learning.peers.comparing import PEERS, SEEDS, Comparison, PeerMeasurement, best_of
from bench_learning.row import Row
from bench_learning.table import Column, Line, short


class PeerFigures:
    """Nothing at all unless they were asked for."""

    def __init__(self, *, installed: bool) -> None:
        self._comparison = Comparison() if installed else None
        self._measurements: list[PeerMeasurement] = []

    def measure(self, rows: Sequence[Row], num_processes: int, seeds: Sequence[int] | None) -> None:
        """Play the peers on these rows."""
        if self._comparison is None:
            return
        with closing(self._comparison.measured(rows, num_processes, seeds or SEEDS)) as ready:
            for found in ready:
                self._measurements += found
                _show(found)

    def fastest(self) -> float:
        """The best rate of learning of any peer at its best batch size, in events/s; 0 if none was measured."""
        rates = [one.figures["events_per_second"] for one in self._measurements if "events_per_second" in one.figures]
        return max(rates, default=0.0)

    def columns(self) -> list[Column]:
        """The best method of each peer: its mean over the seeds, and its name."""
        if self._comparison is None:
            return []
        installed = [peer for peer in PEERS if peer.key not in self._comparison.unavailable]
        return [(peer.title, partial(self._best, peer.key)) for peer in installed]

    def sentences(self) -> list[str]:
        """What could not be installed, said plainly."""
        return [] if self._comparison is None else ["", *self._comparison.unavailable.values()]

    def to_json(self) -> dict[str, object]:
        """Every measurement."""
        if self._comparison is None:
            return {}
        return {
            "peers": [one.to_json() for one in self._measurements],
            "peers_not_installed": self._comparison.unavailable,
        }

    def _best(self, peer: str, line: Line) -> str:
        best = best_of(self._measurements, peer, line.row.key, line.bar.figure)
        return "" if best is None else f"{short(best[0])} {best[1]}"


def _show(found: Sequence[PeerMeasurement]) -> None:
    for one in found:
        figures = ", ".join(f"{name} {value:.4g}" for name, value in one.figures.items()) or one.missing
        print(f"  {one.peer} {one.method}, {one.row} seed {one.seed}: {figures}", file=sys.stderr, flush=True)
