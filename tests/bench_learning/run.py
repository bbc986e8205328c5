"""`make bench-learning`: the tables of `docs/learning.md`, measured.

    make bench-learning                                          every row
    make bench-learning ARGS="sine led --seeds 0 1 --batch 32"   some rows, some seeds, one batch size
    PEERS=1 make bench-learning                                  other libraries beside ours, each installed on its own
    make bench-learning ARGS="--development"                     streams to choose defaults on
    make bench-learning ARGS="--development letters --set training.inner_steps=10 --set replay.rows_per_step=31"

The tables go to standard output, everything measured to bench/learning.json (unless `--set` changed a default or rows
were chosen), progress to standard error. Exit status 0 if every bar is reached, 1 if one is missed, 130 at Ctrl-C.
Without make: python tests/bench_learning/run.py, with the same arguments.
"""

import argparse
import os
import sys
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before numpy and torch are loaded, here and in every process
sys.path.insert(0, str(Path(__file__).parents[1]))

from bench_learning.measuring import Job, Measurement, measured, rows_of
from bench_learning.peers.beside import PeerFigures
from bench_learning.row import Row
from bench_learning.speed import held_to
from bench_learning.table import lines_of, markdown, save

RESULTS = Path("bench/learning.json")


def main(arguments: Sequence[str]) -> int:
    """Measure what was asked for, print the tables, and say whether every bar is reached."""
    asked = _parser().parse_args(arguments)
    started = time.monotonic()
    rows = [row.at_batches(asked.batch) for row in _chosen(rows_of(development=asked.development), asked.rows)]
    peers = PeerFigures(installed=asked.peers)
    measurements: list[Measurement] = []
    try:
        for alone in (False, True):
            some = [row for row in rows if row.alone is alone]
            measurements += _measured(some, asked, num_processes=1 if alone else asked.processes)
            peers.measure(some, 1 if alone else asked.processes, asked.seeds)
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        return 130
    lines = lines_of(held_to(rows, peers.fastest()), measurements)
    print(markdown(lines, peers.columns()), *peers.sentences(), sep="\n", flush=True)
    path = _path(asked)
    if path is not None:
        save(path, lines, measurements, peers.to_json())
        print(f"written to {path}", file=sys.stderr)
    print(f"{time.monotonic() - started:.0f} s", file=sys.stderr)
    return 0 if all(line.is_reached for line in lines) else 1


def _measured(rows: Sequence[Row], asked: argparse.Namespace, num_processes: int) -> list[Measurement]:
    jobs = _jobs(rows, asked)
    found: list[Measurement] = []
    started = time.monotonic()
    with closing(measured(jobs, num_processes, afresh=num_processes == 1)) as ready:
        for measurement in ready:
            found.append(measurement)
            _progress(measurement, len(found), len(jobs), time.monotonic() - started)
    return found


def _jobs(rows: Sequence[Row], asked: argparse.Namespace) -> list[Job]:
    """Single rows first: they take longest, and no process should be left alone with them at the end."""
    overrides = dict(setting.split("=", 1) for setting in asked.set)
    return [
        Job(row=row.key, seed=seed, batch_rows=batch, development=asked.development, overrides=overrides)
        for batch in sorted({batch for row in rows for batch in row.batches})
        for row in rows
        if batch in row.batches
        for seed in asked.seeds or row.seeds
    ]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="make bench-learning", description="How well Penstock learns, measured.")
    parser.add_argument("rows", nargs="*", help="names of rows; all where none is named (another name lists them)")
    parser.add_argument("--development", action="store_true", help="the streams that defaults are chosen on")
    parser.add_argument("--peers", action="store_true", help="other libraries on the same rows, beside ours")
    parser.add_argument("--seeds", nargs="+", type=int, help="instead of the row's own")
    parser.add_argument("--batch", nargs="+", type=int, help="micro-batch rows, of those that the row has")
    parser.add_argument("--set", action="append", default=[], metavar="SECTION.KEY=VALUE", help="another default")
    parser.add_argument("--processes", type=int, default=2, help="how many at once, one thread each")
    parser.add_argument("--output", type=Path, help="where to write the JSON")
    return parser


def _chosen(rows: Sequence[Row], names: Sequence[str]) -> list[Row]:
    unknown = sorted(set(names) - {row.key for row in rows})
    if unknown:
        sys.exit(f"There is no row {', '.join(unknown)}; there are {', '.join(row.key for row in rows)}.")
    return [row for row in rows if not names or row.key in names]


def _path(asked: argparse.Namespace) -> Path | None:
    """Part of the table never replaces the whole."""
    if asked.output is not None:
        return Path(asked.output)
    in_part = asked.rows or asked.set or asked.seeds or asked.batch or asked.development
    return None if in_part else RESULTS


def _progress(measurement: Measurement, done: int, total: int, seconds: float) -> None:
    figures = ", ".join(f"{name} {value:.4g}" for name, value in measurement.figures.items()) or measurement.missing
    left = seconds / done * (total - done)
    print(
        f"[{done}/{total}] {measurement.row} seed {measurement.seed} batch {measurement.batch_rows}: {figures}"
        f" ({measurement.seconds:.1f} s; about {left / 60:.1f} min left)",
        file=sys.stderr,
        flush=True,
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
