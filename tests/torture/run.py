"""`make torture`: every fault of docs/reliability.md in its long form; writes bench/torture.json.

`make torture KILLS=300` says how many kills at random there are to be, `ONLY="3 4"` which rows are played, `SEED=7` the
seed of each row's first try; the next try has the next seed, so a try that fails is played alone by `ONLY` and `SEED`
with `TRIES=1`. Ctrl-C ends it after cleaning up, with the table of what was played until then. The file keeps tries by
their seed: a run adds its own to those played before, so that many short runs make a long one.
"""

import argparse
import json
import shutil
import statistics
import sys
import tempfile
import time
import traceback
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

TESTS = Path(__file__).parent.parent
sys.path[:0] = [str(TESTS), str(TESTS / "bench")]

from kafka_jars import CACHE_DIRECTORY  # noqa: E402 - the path is set first
from mlflow_servers import mlflow_server  # noqa: E402
from nursery import nursery  # noqa: E402
from penstock.adapters.kafka.local_kafka import LocalKafka  # noqa: E402
from penstock.adapters.kafka.local_kafka_jars import resolve  # noqa: E402
from torture.fault import Fault, Figures  # noqa: E402
from torture.registry import FAULTS  # noqa: E402
from torture.workspace import Workspace  # noqa: E402

RESULTS = Path("bench/torture.json")
FAILED = Path("build/torture")
INTERRUPTED = 130
FAST_CLEANER = {"log.cleaner.backoff.ms": 200}


@dataclass(frozen=True, kw_only=True)
class Try:
    """What one try measured, or the sentence of what did not hold."""

    seconds: float
    figures: Figures = field(default_factory=dict)
    failed: str | None = None


@dataclass
class Row:
    """What became of one fault: its tries by seed."""

    fault: Fault
    tries: dict[int, Try] = field(default_factory=dict)

    @property
    def failed(self) -> dict[int, str]:
        """The sentences of those that failed, by seed."""
        return {seed: each.failed for seed, each in self.tries.items() if each.failed is not None}

    @property
    def figures(self) -> dict[str, list[float]]:
        """Everything measured, by name."""
        found: dict[str, list[float]] = defaultdict(list)
        for each in self.tries.values():
            for name, value in each.figures.items():
                found[name] += list(value) if isinstance(value, Sequence) else [value]
        return found

    def added_to(self, before: Mapping[str, Any]) -> "Row":
        """With the tries of bench/torture.json that were not played again."""
        known = {int(seed): Try(**each) for seed, each in before.get("tries", {}).items()}
        return Row(fault=self.fault, tries=dict(sorted((known | self.tries).items())))

    def to_json(self) -> dict[str, object]:
        """For bench/torture.json."""
        return {
            "fault": {key: getattr(self.fault, key) for key in ("number", "title", "injected", "must_hold")},
            "tries": {str(seed): asdict(each) for seed, each in self.tries.items()},
            "seconds": sum(each.seconds for each in self.tries.values()),
            "failed": {str(seed): sentence for seed, sentence in self.failed.items()},
            "figures": {name: summary(values) for name, values in self.figures.items()},
        }


def summary(values: Sequence[float]) -> dict[str, float]:
    """How many, median, 99th percentile (the largest, of fewer than a hundred) and largest."""
    ordered = sorted(values)
    at = min(len(ordered) - 1, -(-99 * len(ordered) // 100) - 1)
    return {"n": len(ordered), "p50": statistics.median(ordered), "p99": ordered[max(at, 0)], "max": ordered[-1]}


def main(arguments: Sequence[str]) -> int:
    """0 if everything held; 1 if something did not; 130 if interrupted."""
    parser = argparse.ArgumentParser(prog="make torture")
    parser.add_argument("only", nargs="*", type=int, metavar="ROW", help="numbers of rows; all unless given")
    parser.add_argument("--kills", type=int, help="kills at random in all")
    parser.add_argument("--tries", type=int, help="of each fault, instead of its own number")
    parser.add_argument("--seed", type=int, default=1, help="of each fault's first try")
    parser.add_argument("--minutes", type=float, default=600.0, help="no try begins later than this, and a soak ends")
    options = parser.parse_args(arguments)
    chosen = [fault for fault in FAULTS if not options.only or fault.number in options.only]
    if not chosen:
        print(f"there is no row {' '.join(map(str, options.only))}; there are {sorted({f.number for f in FAULTS})}.")
        return 2
    rows = [Row(fault=fault) for fault in chosen]
    began, interrupted = time.monotonic(), False
    ends = began + options.minutes * 60
    try:
        with ExitStack() as resources:
            scratch = Path(resources.enter_context(tempfile.TemporaryDirectory(prefix="torture-")))
            libs = resolve(CACHE_DIRECTORY)
            kafka = resources.enter_context(LocalKafka(scratch / "kafka", libs=libs, properties=FAST_CLEANER))
            starts = resources.enter_context(nursery())
            server = cache(lambda: resources.enter_context(mlflow_server(scratch / "mlflow")))
            for row in rows:
                tries = options.tries or row.fault.tries(options.kills)
                for number in range(tries):
                    if time.monotonic() > ends:
                        break
                    seed = options.seed + number
                    _progress(row, number, tries, began)
                    workspace = Workspace(
                        directory=scratch / f"{row.fault.name}-{seed}",
                        kafka=kafka,
                        kafka_libs=libs,
                        mlflow=server,
                        nursery=starts,
                        is_long=True,
                        ends_at_seconds=ends,
                    )
                    row.tries[seed] = _played(row.fault, workspace, seed)
                    _record(row)
    except KeyboardInterrupt:
        interrupted = True
    print("\r\033[K" if sys.stdout.isatty() else "", end="")
    table(rows, print)
    print(f"\nwritten to {RESULTS}")
    if interrupted:
        return INTERRUPTED
    return 1 if any(row.failed for row in rows) else 0


def _played(fault: Fault, workspace: Workspace, seed: int) -> Try:
    workspace.directory.mkdir()
    began = time.monotonic()
    figures: Figures = {}
    failed = None
    try:
        figures = fault.play(workspace, seed)
    except Exception as error:  # whatever it is: the next try goes on, and the table says so
        failed = f"{type(error).__name__}: {error}".splitlines()[0]
        print(f"\n{fault.name}, seed {seed}, does not hold:\n{''.join(traceback.format_exception(error))}")
        kept = FAILED / workspace.directory.name
        shutil.rmtree(kept, ignore_errors=True)
        shutil.copytree(workspace.directory, kept, ignore_dangling_symlinks=True)
        print(f"its files are kept in {kept}")
    shutil.rmtree(workspace.directory, ignore_errors=True)
    return Try(seconds=time.monotonic() - began, figures=figures, failed=failed)


def _record(row: Row) -> None:
    """After each try, so that whatever ends a long run leaves what it has measured."""
    RESULTS.parent.mkdir(exist_ok=True)
    before = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else {}
    measured = {row.fault.name: row.added_to(before.get(row.fault.name, {})).to_json()}
    RESULTS.write_text(json.dumps(before | measured, indent=2) + "\n", encoding="utf-8")


def _progress(row: Row, number: int, tries: int, began: float) -> None:
    text = f"{row.fault.number:>2} {row.fault.title}: try {number + 1} of {tries}, {len(row.failed)} failed, "
    text += f"{(time.monotonic() - began) / 60:.1f} min in all"
    if sys.stdout.isatty():
        print(f"\r\033[K{text}", end="", flush=True)
    else:
        print(text, flush=True)


def table(rows: Sequence[Row], say: Callable[[str], None]) -> None:
    """One line a fault, and below it one for each figure."""
    say(f"{'row':>3}  {'fault':<44} {'tries':>6} {'failed':>6} {'seed':>6} {'seconds':>8}")
    for row in rows:
        if not row.tries:
            continue
        seconds = sum(each.seconds for each in row.tries.values())
        counts = f"{len(row.tries):>6} {len(row.failed):>6} {min(row.tries):>6} {seconds:>8.0f}"
        say(f"{row.fault.number:>3}  {row.fault.title:<44} {counts}")
        for name, values in sorted(row.figures.items()):
            found = summary(values)
            say(f"     {name:<44} n {found['n']:<6g} p50 {found['p50']:<10.4g} p99 {found['p99']:<10.4g}")
        for seed, sentence in row.failed.items():
            say(f"     seed {seed}: {sentence}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
