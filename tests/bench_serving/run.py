"""`make bench-serving`: how fast a replica answers, and what swaps, restarts and large models do to it.

    make bench-serving                                            everything but the peers, some nine minutes
    PEERS=1 make bench-serving                                    MLServer and KServe beside it, installed under .cache
    make bench-serving ARGS="requests swaps --swaps 200"          some of it

One run on one machine, server and client on a core of their own. Written to bench/serving.json, and the latencies while
versions are swapped to bench/serving-swaps.png. Exit status 0 if every bar is reached.
Without make: python tests/bench_serving/run.py, with the same arguments.
"""

import argparse
import os
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before numpy and torch are loaded, here and in every process
TESTS = Path(__file__).parents[1]
sys.path[:0] = [str(TESTS), str(TESTS / "bench")]

from bench_serving import arriving, requests, starting, swaps  # noqa: E402 - the path is set first
from bench_serving.closed_loop import what_is_missing  # noqa: E402 - the path is set first
from bench_serving.servers import CLIENT_CORE  # noqa: E402 - the path is set first
from figures import Figure, save, show  # noqa: E402 - the path is set first

RESULTS = Path("bench/serving.json")
PARTS: dict[str, Callable[[argparse.Namespace, Path], list[Figure]]] = {
    "requests": requests.measure,
    "swaps": swaps.measure,
    "arriving": arriving.measure,
    "starting": starting.measure,
}


def main(arguments: Sequence[str]) -> int:
    """Measure what was asked for; 0 if every bar is reached, 2 if something is missing here."""
    asked = _parser().parse_args(arguments)
    missing = what_is_missing()
    if missing is not None:
        print(missing, file=sys.stderr)
        return 2
    os.sched_setaffinity(0, {CLIENT_CORE})  # the broker lives in this process
    results: dict[str, list[Figure]] = {}
    for name in asked.parts or PARTS:
        with tempfile.TemporaryDirectory() as folder:
            title = (sys.modules[PARTS[name].__module__].__doc__ or name).splitlines()[0]
            results[title] = PARTS[name](asked, Path(folder))
        show(title, results[title])
        save(RESULTS, results)
    print(f"\nwritten to {RESULTS}")
    return 0 if all(figure.is_reached for figures in results.values() for figure in figures) else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="make bench-serving")
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)}; all unless named")
    parser.add_argument("--peers", action="store_true", help="measure MLServer and KServe beside it")
    parser.add_argument("--seconds", type=float, default=3.0, help="of one measurement")
    parser.add_argument("--rounds", type=int, default=3, help="of every measurement, in turn; medians count")
    parser.add_argument("--swaps", type=int, default=1000, help="versions swapped in, ten a second")
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
