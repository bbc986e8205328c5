"""The replica process. Follows the update topic in one thread, infers in another, answers on the event loop."""

import gc
import os
import sys
from contextlib import ExitStack

import structlog

from penstock.adapters.http.server import HttpServer, run_on_uvloop
from penstock.adapters.kafka.config import redacted
from penstock.adapters.mlflow.scratch import remove_abandoned
from penstock.learning.device import use_threads
from penstock.processes import open_files
from penstock.processes.replica.ending import Ending
from penstock.processes.replica.listening import answer_alone, answer_in_turn
from penstock.processes.replica.membership import Membership
from penstock.processes.replica.parts import assembled, updater_of
from penstock.settings import Settings

SWITCH_INTERVAL_SECONDS = 0.0005
"""Python takes its lock from a busy thread this soon: an update being built holds up no answer for longer."""

log = structlog.get_logger(__name__)


def run(settings: Settings, member: Membership | None = None) -> int:
    """Serve until SIGTERM or Ctrl-C, as a `member` of a group or alone; returns the exit code.

    Raises:
        StopError: the reason why this replica cannot serve.
    """
    use_threads(settings.serving.num_threads)
    open_files.allow_many()
    sys.setswitchinterval(SWITCH_INTERVAL_SECONDS)
    if removed := remove_abandoned():
        log.info("downloads of a killed replica removed", folders=removed)
    gc.freeze()  # what the imports brought stays: walking over it again and again would only delay answers
    log.info("replica starting", model=settings.model.name, kafka=redacted(settings.kafka), pid=os.getpid())
    run_on_uvloop(lambda: _serve(settings, member))
    log.info("replica stopped")
    return 0


async def _serve(settings: Settings, member: Membership | None) -> None:
    """The port is taken first: a replica that cannot have it touches nothing else."""
    serving = settings.serving
    with ExitStack() as resources:
        server = HttpServer(host=serving.host, port=serving.port, shared=member is not None)
        resources.callback(server.close)
        parts = assembled(settings, resources)
        ending = Ending(parts.plane)
        ending.when_begun(server.stop)
        parts.batcher.start()
        resources.callback(parts.batcher.close)
        updater = updater_of(settings, parts, give_up=ending.from_thread)
        updater.start()
        resources.callback(updater.close)
        if member is None:
            await answer_alone(serving, parts, server, ending)
        else:
            await answer_in_turn(member, serving, parts, server, ending)
    if ending.reason is not None:
        raise ending.reason
