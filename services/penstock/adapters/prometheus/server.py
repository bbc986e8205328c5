"""A small HTTP server for `/metrics`, in threads of its own."""

import sys
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import structlog

from penstock.errors import ConfigurationError

STOP_POLL_SECONDS = 0.05
REQUEST_TIMEOUT_SECONDS = 10.0

log = structlog.get_logger(__name__)


class MetricsServer:
    """Answers `GET /metrics` until closed; everything else is 404."""

    def __init__(self, render: Callable[[], tuple[bytes, str]], *, host: str, port: int) -> None:
        """Listen, and answer from now on.

        Raises:
            ConfigurationError: the address cannot be listened on.
        """
        handler = type("MetricsHandler", (_Handler,), {"render": staticmethod(render)})
        try:
            self._server = _Server((host, port), handler)
        except OSError as error:
            raise ConfigurationError(
                f"telemetry.port is {port}: {host}:{port} cannot be listened on ({error.strerror or error}); "
                "set telemetry.port to a free port, or to 0 for any, and telemetry.host to an address of this machine."
            ) from None
        self.port: int = self._server.server_address[1]
        """The port that was taken."""
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(STOP_POLL_SECONDS,), name="metrics", daemon=True
        )
        self._thread.start()

    def close(self) -> None:
        """Stop listening; returns when the port is free."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Server(ThreadingHTTPServer):
    daemon_threads = True  # a scrape that hangs must not hold up the process

    def handle_error(self, request: object, client_address: object) -> None:
        """A scraper that has gone is none of our errors; all else is."""
        if not isinstance(sys.exception(), OSError):
            log.exception("a scrape has failed")


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = REQUEST_TIMEOUT_SECONDS
    render: Callable[[], tuple[bytes, str]]

    def do_GET(self) -> None:
        if self.path.partition("?")[0] == "/metrics":
            self._answer(200, *self.render())
        else:
            self._answer(404, b"Metrics are at /metrics.\n", "text/plain; charset=utf-8")

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the base class names it so
        """Scrapes are not logged."""

    def _answer(self, status: int, content: bytes, content_type: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)
