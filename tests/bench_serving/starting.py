"""starting: from the start of a replica to ready, and its memory"""

import argparse
import statistics
import subprocess
import sys
from pathlib import Path

import psutil

from bench_serving.replicas import replica
from bench_serving.subject import LINEAR, weights_of
from figures import Figure

REPEATS = 3


def measure(_asked: argparse.Namespace, folder: Path) -> list[Figure]:
    """Medians of some starts."""
    weights, starts, resident = weights_of(LINEAR), [], []
    for number in range(REPEATS):
        with replica(folder / str(number), LINEAR, weights) as running:
            starts.append(running.ready_seconds)
            process = psutil.Process(running.process.pid)
            resident.append(sum(each.memory_info().rss for each in (process, *process.children())))
    code = "import torch, psutil; print(psutil.Process().memory_info().rss)"
    torch_alone = float(subprocess.run([sys.executable, "-c", code], check=True, capture_output=True).stdout)
    mebibytes = statistics.median(resident) / 2**20
    return [
        Figure(name="start to ready", value=statistics.median(starts), unit="s", target=5, sense="at most"),
        Figure(name="resident, the process that reads for it included", value=mebibytes, unit="MiB"),
        Figure(name="beside it: a process that has imported torch", value=torch_alone / 2**20, unit="MiB"),
        Figure(name="resident ÷ torch alone", value=mebibytes * 2**20 / torch_alone, unit=""),
    ]
