"""Requests at fixed times, whatever becomes of those before; a late answer makes the next ones late, too.

`python open_loop.py PORT PATH RATE SECONDS < BODY` writes to standard output, for every request, when it was to begin
(monotonic seconds) and how long after that its answer was there (seconds), as float64 pairs; to standard error how many
answers were no answers. How long each took is what the system (Linux) writes down, from leaving to coming; each begins
when it was to, or when the answer before was there. So this client's own lateness is not taken for the server's: a
broker and whoever appends updates work on the same core.
"""

import os
import struct
import sys
import time
from contextlib import suppress
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from raw_connection import RawConnection, request_of

SPIN_SECONDS = 0.0003
"""A timer wakes that late; the rest of a pause is waited for awake."""
FIRST_SECONDS = 1.0
"""Not written down."""


def main(port: int, path: str, rate: float, seconds: float, body: bytes) -> None:
    """Ask for so long after the first second."""
    request, connection = request_of(path, body), RawConnection(port, stamped=True)
    _before_others()
    count = int(rate * (seconds + FIRST_SECONDS))
    times: list[tuple[float, float]] = []
    num_errors = 0
    began = free = time.monotonic()
    for number in range(count):
        due = began + number / rate
        pause = due - time.monotonic() - SPIN_SECONDS
        if pause > 0:
            time.sleep(pause)
        while time.monotonic() < due:
            pass
        ok, _ = connection.exchange(request)
        free = max(due, free) + connection.took_seconds()
        times.append((due, free - due))
        num_errors += not ok
    kept = [pair for pair in times if pair[0] - began >= FIRST_SECONDS]
    sys.stdout.buffer.write(b"".join(struct.pack("2d", *pair) for pair in kept))
    print(num_errors, file=sys.stderr)


def _before_others() -> None:
    """On the client's core the broker and whoever appends updates work, too: that is not the server's doing."""
    with suppress(PermissionError):
        os.nice(-15)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2], float(sys.argv[3]), float(sys.argv[4]), sys.stdin.buffer.read())
