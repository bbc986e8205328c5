"""The claim with which a trainer begins to be the only one."""

import os
import secrets
import socket
from threading import Event

import structlog

from penstock.processes.trainer.patience import patiently
from penstock.trainer.ports import Claimed, UpdateLog

log = structlog.get_logger(__name__)


def claim_patiently(update_log: UpdateLog, stop: Event) -> Claimed | None:
    """The claim, once the broker has it; None if `stop` was set while waiting for that.

    Raises:
        StopError: the topic is missing, has more than one partition, or is not compacted.
    """
    claimed = patiently(lambda: update_log.claim(_holder()), stop)
    if claimed is not None:
        log.info("claimed", epoch=claimed.claim.epoch, last_version=claimed.highest_version)
    return claimed


def _holder() -> str:
    """Unlike any other trainer's: in containers, host names and process ids may repeat."""
    return f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}"
