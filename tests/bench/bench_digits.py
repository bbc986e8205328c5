"""Accuracy on all ten digits at the end of the split-digits stream, with and without replay.

python tests/bench/bench_digits.py
"""

import sys
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parents[1]))  # the helpers of the tests
from split_digits import SETTINGS, final_accuracy

SEEDS = range(5)


def main() -> None:
    torch.set_num_threads(1)
    print("single pass, batches of 32, hidden [128], " + ", ".join(f"{key} {value}" for key, value in SETTINGS.items()))
    for capacity in (200, 0):
        found = [final_accuracy(seed=seed, settings=SETTINGS, capacity=capacity) for seed in SEEDS]
        each = " ".join(f"{accuracy:.3f}" for accuracy in found)
        print(f"reservoir of {capacity:3} rows: mean {np.mean(found):.3f}, least {min(found):.3f} ({each})")


if __name__ == "__main__":
    main()
