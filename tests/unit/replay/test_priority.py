"""Priorities are a hash of an event's place in the log."""

import subprocess
import sys

import numpy as np
from scipy.stats import kstest

from penstock.replay.priority import EventPriorities


def places(partitions: int, offsets: int, rows: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    grid = np.meshgrid(np.arange(partitions), np.arange(offsets), np.arange(rows), indexing="ij")
    partition, offset, row = (axis.ravel() for axis in grid)
    return partition.astype(np.int32), offset.astype(np.int64), row.astype(np.int32)


def test_an_events_priority_is_the_same_in_every_process() -> None:
    code = (
        "import numpy as np; from penstock.replay.priority import EventPriorities as E;"
        "print(E('m.labels').at(np.array([3], np.int32), np.array([2**33 + 5]), np.array([7], np.int32))[0])"
    )
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    here = EventPriorities("m.labels").at(
        np.array([3], dtype=np.int32), np.array([2**33 + 5]), np.array([7], dtype=np.int32)
    )
    assert int(printed) == int(here[0]) == 10153234348863461428


def test_an_events_priority_does_not_depend_on_its_neighbours() -> None:
    partitions, offsets, rows = places(3, 40, 2)
    together = EventPriorities("m.labels").at(partitions, offsets, rows)
    fresh = EventPriorities("m.labels")
    alone = [int(fresh.at(partitions[i : i + 1], offsets[i : i + 1], rows[i : i + 1])[0]) for i in range(len(rows))]
    assert together.tolist() == alone


def test_no_two_events_share_a_priority() -> None:
    priorities = EventPriorities("m.labels").at(*places(8, 5000, 5))
    assert len(np.unique(priorities)) == len(priorities)


def test_another_topic_draws_another_lottery() -> None:
    where = places(1, 1000, 1)
    first, second = EventPriorities("a.labels").at(*where), EventPriorities("b.labels").at(*where)
    assert abs(np.corrcoef(first.astype(float), second.astype(float))[0, 1]) < 0.1


def test_priorities_of_consecutive_offsets_are_uniform_in_high_and_low_bits() -> None:
    priorities = EventPriorities("m.labels").at(*places(1, 20_000, 1))
    assert kstest(priorities.astype(np.float64) / 2.0**64, "uniform").pvalue > 1e-3
    assert kstest((priorities & np.uint64(0xFFFFFFFF)).astype(np.float64) / 2.0**32, "uniform").pvalue > 1e-3
