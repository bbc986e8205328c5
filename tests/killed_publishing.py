"""A `penstock` that kills itself (-9) at a step of putting a model in place: `python killed_publishing.py STEP …`."""

import os
import signal
import sys
from collections.abc import Callable
from typing import Any

from penstock.adapters.disk import handover
from penstock.adapters.disk.folder import write_folder
from penstock.adapters.disk.handover import hand_over
from penstock.adapters.kafka.update_log import KafkaUpdateLog
from penstock.processes import cli
from penstock.processes.retrain import publishing


def die_instead(*_: Any, **__: Any) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def and_die(step: Callable[..., Any]) -> Callable[..., Any]:
    """The step, and death once it is done."""

    def done(*arguments: Any, **named: Any) -> None:
        step(*arguments, **named)
        die_instead()

    return done


STEPS: dict[str, tuple[object, str, Callable[..., Any]]] = {
    "half handed over": (handover, "write_folder", and_die(write_folder)),
    "handed over": (publishing, "hand_over", and_die(hand_over)),
    "announced": (KafkaUpdateLog, "append", and_die(KafkaUpdateLog.append)),
}
"""Where it dies: what is patched, and with what."""

if __name__ == "__main__":
    owner, name, replacement = STEPS[sys.argv.pop(1)]
    setattr(owner, name, replacement)
    cli.main()
