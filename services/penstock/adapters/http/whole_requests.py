"""POST …/infer for requests that arrive in one piece and name no version: without a task, a future or ASGI."""

import asyncio
from collections.abc import Mapping
from functools import partial
from typing import Final

import structlog

from penstock.adapters.http.answers import error_response, refusal_response
from penstock.adapters.http.bodies import decode_request
from penstock.adapters.http.compression import deflated
from penstock.adapters.http.infer import FAILED, JSON_HEADERS, binary_headers, packing_of
from penstock.adapters.http.infer_answers import encode_response
from penstock.adapters.http.protocol import Headers, Reply
from penstock.adapters.http.request_bodies import json_bytes
from penstock.serving.aside import LARGE_BYTES
from penstock.serving.data_plane import DataPlane
from penstock.serving.refusals import RequestError
from penstock.telemetry import Telemetry

LONG_WAY: Final = frozenset((b"content-encoding", b"expect", b"origin", b"transfer-encoding"))
"""Headers that ask for more than is done here."""

log = structlog.get_logger(__name__)


class WholeInferRequests:
    """As `protocol.WholeRequests`."""

    def __init__(self, plane: DataPlane, *, max_body_bytes: int, telemetry: Telemetry) -> None:
        """Of bodies of `max_body_bytes` and less, those that need not be read beside the event loop."""
        self.path = f"/v2/models/{plane.model}/infer".encode()
        self._plane = plane
        self._max_body_bytes = min(max_body_bytes, LARGE_BYTES)
        self._telemetry = telemetry

    def takes(self, headers: Headers) -> bool:
        """True if nothing stands against the short way."""
        for name, value in headers:
            if name in LONG_WAY:
                return False
            if name == b"content-length" and int(value) > self._max_body_bytes:  # digits: the parser has seen to that
                return False
        return True

    def answer(self, headers: Headers, body: bytes, reply: Reply) -> None:
        """Answer one request."""
        arrived_seconds = self._plane.clock.monotonic_seconds()
        named = dict(headers)
        try:
            self._plane.check_newest(self._plane.model)
            request = decode_request(
                body,
                json_bytes=json_bytes(named, body),
                model=self._plane.model,
                version=None,
                arrived_seconds=arrived_seconds,
                max_rows=self._plane.max_request_rows,
            )
            self._plane.infer_newest(request, encode_response, partial(self._deliver, named, reply))
        except Exception as error:  # whatever fails, its caller gets a sentence and the connection goes on
            self._refuse(error, reply)

    def _deliver(
        self, named: Mapping[bytes, bytes], reply: Reply, outcome: tuple[bytes, int | None] | RequestError
    ) -> None:
        if isinstance(outcome, RequestError):
            return self._refuse(outcome, reply)
        content, header_length = outcome
        self._telemetry.count("penstock_requests_total", code="200")
        described = JSON_HEADERS if header_length is None else binary_headers(header_length)
        packing = packing_of(content, named)
        if packing is None:
            return reply(200, described, content)
        encoding, more = packing
        packed = asyncio.get_running_loop().run_in_executor(None, deflated, content, encoding)
        packed.add_done_callback(lambda done: reply(200, [*described, *more], done.result()))
        return None

    def _refuse(self, error: Exception, reply: Reply) -> None:
        if isinstance(error, RequestError):
            response = refusal_response(error)
        else:
            log.error("a request failed", exc_info=error)
            response = error_response(500, FAILED)
        self._telemetry.count("penstock_requests_total", code=str(response.status_code))
        headers = [(name, value) for name, value in response.raw_headers if name != b"content-length"]
        reply(response.status_code, headers, bytes(response.body))
