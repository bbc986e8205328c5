"""What a full disk may do to a log: swallow it."""

from contextlib import suppress
from pathlib import Path

from penstock.processes.logs import LossyStream


def test_lines_that_cannot_be_written_are_lost_and_nothing_is_raised() -> None:
    full = Path("/dev/full").open("w")  # noqa: SIM115 - closing it fails, as there is no space for what it holds
    try:
        stream = LossyStream(full)
        stream.write("the disk is full\n")
        stream.flush()
    finally:
        with suppress(OSError):
            full.close()
