"""Waiting for an outside that does not answer."""

from collections.abc import Callable
from threading import Event
from typing import TypeVar

import structlog

from penstock.errors import UnavailableError

RETRY_SECONDS = 1.0

T = TypeVar("T")
log = structlog.get_logger(__name__)


def patiently(attempt: Callable[[], T], stop: Event) -> T | None:
    """Try until the outside answers or `stop` is set; says so while it waits."""
    while not stop.is_set():
        try:
            return attempt()
        except UnavailableError as error:
            log.warning("waiting", reason=str(error))
            stop.wait(RETRY_SECONDS)
    return None
