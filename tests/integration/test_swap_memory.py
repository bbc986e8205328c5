"""Swapping large weights takes little more than one more copy of them for a while, and a delta next to nothing."""

import json
import subprocess
import sys
from pathlib import Path

import swap_memory


def test_a_swap_needs_no_more_than_a_tenth_beside_the_new_weights(tmp_path: Path) -> None:
    ran = subprocess.run(
        [sys.executable, swap_memory.__file__, str(tmp_path)], capture_output=True, text=True, timeout=180, check=True
    )
    found = json.loads(ran.stdout.splitlines()[-1])  # behind the log
    size, before, during = found["weights_bytes"], found["before"], found["during"]
    assert size > 60_000_000
    grown = [most - least for least, most in zip(before, during, strict=True)]
    whole, deltas = grown[1 : swap_memory.WHOLE], grown[swap_memory.WHOLE :]  # the first brings what is used first
    assert max(whole) <= 1.1 * size, found
    assert max(deltas) <= 0.05 * size, found
    settled = before[1:]
    assert max(settled) - min(settled) <= 0.2 * size, found  # no copy stays; allocators keep a few MB now and then
