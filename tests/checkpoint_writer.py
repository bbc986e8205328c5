"""A process that forks writers of checkpoints: each saves as fast as it can until it is killed.

`python checkpoint_writer.py DIRECTORY`; each line on standard input forks one. A writer answers `started PID`, then
`saved STEP` after each checkpoint. Forking from a process that has imported everything makes a kill cheap to test.
"""

import os
import signal
import sys
from pathlib import Path

from penstock.adapters.disk.checkpoints import DiskCheckpoints
from sample_checkpoints import MODEL, SCHEMA, all_touched, checkpoint_of, rows_by_writer, rows_of, touched, weights_of


def write_forever(directory: Path) -> None:
    """Go on from the newest checkpoint, one step a checkpoint."""
    store = DiskCheckpoints(directory, model=MODEL, schema_digest=SCHEMA, kept=3)
    newest = store.load_newest()
    _say(f"started {os.getpid()}")
    step = newest.step if newest else 0
    while True:
        step += 1
        full = store.wants_full_reservoir()
        rows = rows_by_writer(all_touched(step), full=True) if full else rows_of(touched(step), step, full=False)
        store.save(checkpoint_of(step, rows), weights_of(step))
        _say(f"saved {step}")


def _say(line: str) -> None:
    os.write(1, f"{line}\n".encode())


if __name__ == "__main__":
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    for _ in sys.stdin:
        if os.fork() == 0:
            write_forever(Path(sys.argv[1]))
