"""A replica's transports in this process, on real sockets: everything but Kafka."""

import asyncio
import http.client
import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, BinaryIO

import torch

from counted_telemetry import CountedTelemetry
from penstock.adapters.grpc.server import GrpcServer
from penstock.adapters.grpc.service import handlers
from penstock.adapters.http.app import http_app
from penstock.adapters.http.server import HttpServer, run_on_uvloop
from penstock.adapters.http.whole_requests import WholeInferRequests
from penstock.clock import SystemClock
from penstock.learning.config import ModelConfig
from penstock.serving.batching import Batcher
from penstock.serving.builder import ModelBuilder
from penstock.serving.config import ServingConfig
from penstock.serving.data_plane import DataPlane
from penstock.serving.loaded_versions import LoadedVersions
from penstock.serving.ports import VersionArchive
from penstock.serving.slot import Slot
from waiting import wait_for


class NoFetcher:
    """`serving.ports.WeightsFetcher` for updates that carry their weights."""

    def fetch(self, uri: str, size_bytes: int) -> BinaryIO:
        raise AssertionError("these updates carry their weights")


class HttpReplica:
    """Its slot is the test's to fill."""

    def __init__(self, model: ModelConfig, config: ServingConfig, archive: VersionArchive | None) -> None:
        self.model, self.telemetry = model, CountedTelemetry()
        self.slot = Slot(resident_versions=config.resident_versions)
        self.batcher = Batcher(
            self.slot,
            max_queued_requests=config.max_queued_requests,
            max_batch_rows=config.max_batch_rows,
            telemetry=self.telemetry,
            clock=SystemClock(),
        )
        loaded: LoadedVersions | None = None
        if archive is not None:
            builder = ModelBuilder(model, device=torch.device("cpu"), fetcher=NoFetcher())
            loaded = LoadedVersions(archive, builder, model=model.name, kept=config.load_on_demand, clock=SystemClock())
        self.plane = DataPlane(
            model,
            slot=self.slot,
            batcher=self.batcher,
            telemetry=self.telemetry,
            clock=SystemClock(),
            timeout_seconds=config.timeout_seconds,
            loaded=loaded,
            max_staleness_seconds=config.max_staleness_seconds,
            max_request_rows=config.max_request_rows,
            max_text_bytes=config.max_text_bytes,
        )
        self.server = HttpServer(host="127.0.0.1", port=0)
        self.port = self.server.port
        self.loop: asyncio.AbstractEventLoop | None = None
        self.grpc_server: GrpcServer | None = None
        self._config = config
        self._thread = threading.Thread(target=run_on_uvloop, args=(self._serve,), name="http")

    def start(self) -> None:
        self._thread.start()
        if self._config.grpc_port != "off":
            wait_for(lambda: self.grpc_port or not self._thread.is_alive(), "gRPC listens", every_seconds=0.01)
        wait_for(lambda: self.get("/v2/health/live")[0] == 200, "the server answers", every_seconds=0.01)

    def stop(self) -> None:
        if self.loop is not None and self._thread.is_alive():
            self.loop.call_soon_threadsafe(self.plane.drain)
            self.loop.call_soon_threadsafe(self.server.stop)
            if self.grpc_server is not None:
                self.loop.call_soon_threadsafe(self.grpc_server.stop)
        self._thread.join(60)
        assert not self._thread.is_alive()
        self.batcher.close()

    @property
    def grpc_port(self) -> int:
        """0 while nothing listens."""
        return 0 if self.grpc_server is None else self.grpc_server.port

    def connect(self) -> http.client.HTTPConnection:
        """A keep-alive connection."""
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)

    def ask(
        self, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> tuple[int, Any, Mapping[str, str]]:
        """Status, JSON body and headers, over a connection of its own."""
        connection = self.connect()
        try:
            return exchange(connection, method, path, body, headers)
        finally:
            connection.close()

    def get(self, path: str) -> tuple[int, Any]:
        status, content, _ = self.ask("GET", path)
        return status, content

    def infer(self, body: object, suffix: str = "") -> tuple[int, Any]:
        """POST to the model; bytes as they are, anything else as JSON."""
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        status, answer, _ = self.ask("POST", f"/v2/models/{self.model.name}{suffix}/infer", content)
        return status, answer

    async def _render_metrics(self) -> tuple[bytes, str]:
        return self.telemetry.render()

    async def _serve(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.batcher.start()
        app = http_app(
            self.plane,
            self._config,
            telemetry=self.telemetry,
            render_metrics=self._render_metrics,
        )
        whole = WholeInferRequests(self.plane, max_body_bytes=self._config.max_body_bytes, telemetry=self.telemetry)
        serving = [self.server.serve(app, grace_seconds=self._config.grace_seconds, whole=whole)]
        if self._config.grpc_port != "off":
            self.grpc_server = GrpcServer(
                handlers(self.plane, self.telemetry),
                host="127.0.0.1",
                port=self._config.grpc_port,
                max_body_bytes=self._config.max_body_bytes,
            )
            serving.append(self.grpc_server.serve(grace_seconds=self._config.grace_seconds))
        await asyncio.gather(*serving)


def exchange(
    connection: http.client.HTTPConnection,
    method: str,
    path: str,
    body: bytes | None = None,
    headers: Mapping[str, str] | None = None,
) -> tuple[int, Any, Mapping[str, str]]:
    """One request over an open connection: status, JSON body and headers."""
    connection.request(method, path, body, dict(headers or {}))
    response = connection.getresponse()
    content = response.read()
    kind = response.headers.get_content_type()
    return response.status, json.loads(content) if kind == "application/json" else content, dict(response.headers)


@contextmanager
def http_replica(
    model: ModelConfig,
    *,
    max_queued_requests: int = 64,
    max_batch_rows: int = 64,
    max_body_bytes: int = 200_000,
    archive: VersionArchive | None = None,
    **more: Any,
) -> Iterator[HttpReplica]:
    """Running, with an empty slot, until the end of `with`; `more` of the keys of `[serving]`."""
    torch.set_num_threads(1)
    config = ServingConfig(
        max_queued_requests=max_queued_requests, max_batch_rows=max_batch_rows, max_body_bytes=max_body_bytes, **more
    )
    replica = HttpReplica(model, config, archive)
    replica.start()
    try:
        yield replica
    finally:
        replica.stop()
