"""Structured logs: readable on a terminal, JSON elsewhere; one line where state changes; secrets redacted."""

import logging
import sys
from collections.abc import MutableMapping
from contextlib import suppress
from typing import Any, TextIO, cast

import structlog

from penstock.credentials import without_credentials

SECRET_WORDS = ("password", "secret", "token", "passphrase", "credential")
PLAIN = (bool, int, float, dict, list, tuple, type(None))
"""What a log line may hold beside text; all else is written as its representation."""


class LossyStream:
    """A stream whose lines are lost where it cannot be written, as on a full disk: a log ends nothing."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> None:
        """Write it, or not."""
        with suppress(OSError):
            self._stream.write(text)

    def flush(self) -> None:
        """Have it written, or not."""
        with suppress(OSError):
            self._stream.flush()


def configure(level: int = logging.INFO) -> None:
    """Set structlog up for this process; everything goes to standard error."""
    terminal = sys.stderr.isatty()
    renderer: Any = (
        structlog.dev.ConsoleRenderer(pad_event_to=32, exception_formatter=structlog.dev.plain_traceback)
        if terminal
        else structlog.processors.JSONRenderer()
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="%H:%M:%S" if terminal else "iso", utc=not terminal),
            structlog.processors.format_exc_info,  # before the redaction, which reads text
            _redact,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(cast(TextIO, LossyStream(sys.stderr))),
        cache_logger_on_first_use=True,
    )


def _redact(_logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    for key, value in event.items():
        if any(word in key.lower() for word in SECRET_WORDS):
            event[key] = "***"
        elif not isinstance(value, PLAIN):
            event[key] = without_credentials(value if isinstance(value, str) else repr(value))
    return event
