"""One of the processes that `penstock serve --processes N` starts; it ends when the one that started it does.

Run as a module, with CONFIG NUMBER FOLDER NOW|READY: the last says from when on it listens.
"""

import sys
from pathlib import Path

import structlog

from penstock.processes.replica.membership import Membership
from penstock.processes.signals import end_at_once_on_sigterm

COMMAND = (sys.executable, "-m", "penstock.processes.replica.group_member")


def main(arguments: list[str]) -> int:
    """Serve; returns the exit code."""
    end_at_once_on_sigterm()
    from penstock import settings
    from penstock.errors import StopError
    from penstock.processes import logs
    from penstock.processes.replica import run as replica

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
