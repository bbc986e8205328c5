"""`make bench`: every figure of the README in one run, side by side; writes bench/results.json.

Name benchmarks to run only those: `make bench ARGS="freshness start"`.
"""

import importlib
import sys
from pathlib import Path

TESTS = Path(__file__).parent.parent
sys.path[:0] = [str(TESTS), str(TESTS / "bench")]

from figures import Figure, save, show  # noqa: E402 - the path is set first

BENCHMARKS = ("learner", "decode", "trainer", "checkpoint", "large", "freshness", "answers", "start", "accuracy", "gpu")
RESULTS = Path("bench/results.json")


def main(names: list[str]) -> int:
    """Run the named benchmarks, or all; 0 if every target is reached."""
    unknown = sorted(set(names) - set(BENCHMARKS))
    if unknown:
        print(f"There is no benchmark {', '.join(unknown)}; there are {', '.join(BENCHMARKS)}.")
        return 2
    results: dict[str, list[Figure]] = {}
    for name in names or BENCHMARKS:
        module = importlib.import_module(f"bench_{name}")
        title = (module.__doc__ or name).splitlines()[0]
        results[title] = module.measure()
        show(title, results[title])
        save(RESULTS, results)
    print(f"\nwritten to {RESULTS}")
    return 0 if all(figure.is_reached for figures in results.values() for figure in figures) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
