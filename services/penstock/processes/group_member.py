"""One of the processes that `penstock serve --processes N` starts; it ends when the one that started it does.

`python -m penstock.processes.group_member CONFIG NUMBER FOLDER NOW|READY`: the last says from when on it listens.
"""

import sys
from dataclasses import dataclass
from pathlib import Path

import structlog

COMMAND = (sys.executable, "-m", "penstock.processes.group_member")


@dataclass(frozen=True, kw_only=True)
class Membership:
    """Which of the group this is, and where its members meet.

    All listen on the same ports. Only one of them does so before it has a model: somebody must say that the replica
    is alive but not ready, and a process that comes later must not take connections from those that can answer.
    """

    number: int
    folder: Path
    listens_at_once: bool


def main(arguments: list[str]) -> int:
    """Serve; returns the exit code."""
    from penstock import settings
    from penstock.errors import StopError
    from penstock.processes import logs, replica

    config, number, folder, when = arguments
    logs.configure()
    structlog.contextvars.bind_contextvars(process=int(number))
    member = Membership(number=int(number), folder=Path(folder), listens_at_once=when == "NOW")
    try:
        return replica.run(settings.load(Path(config)), member)
    except StopError as error:
        print(error, file=sys.stderr)  # noqa: T201 - as the command line says it
        return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
