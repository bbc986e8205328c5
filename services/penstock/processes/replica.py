"""The replica process: wiring only. Follows the update topic in one thread, infers in another, answers on the loop."""

import asyncio
import gc
import os
import signal
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING, Protocol

import structlog

from penstock.adapters.http.app import http_app
from penstock.adapters.http.server import HttpServer, run_on_uvloop
from penstock.adapters.http.whole_requests import WholeInferRequests
from penstock.adapters.kafka.config import redacted
from penstock.adapters.kafka.prediction_sink import KafkaPredictionSink
from penstock.adapters.kafka.topic_names import TopicNames
from penstock.adapters.kafka.update_feed import KafkaUpdateFeed
from penstock.adapters.prometheus.telemetry import PrometheusTelemetry
from penstock.clock import SystemClock
from penstock.errors import StopError
from penstock.flow import ModelUpdate
from penstock.learning.device import choose_device, use_threads
from penstock.serving.batching import Batcher
from penstock.serving.builder import ModelBuilder
from penstock.serving.config import ServingConfig
from penstock.serving.data_plane import DataPlane
from penstock.serving.loaded_versions import LoadedVersions
from penstock.serving.ports import WeightsFetcher
from penstock.serving.prediction_log import PredictionLog
from penstock.serving.slot import Slot
from penstock.serving.updater import Updater
from penstock.settings import Settings
from penstock.telemetry import Telemetry

if TYPE_CHECKING:
    from penstock.adapters.grpc.server import GrpcServer

SWITCH_INTERVAL_SECONDS = 0.0005
"""Python takes its lock from a busy thread this soon: an update being built holds up no answer for longer."""
BROKER_TIMEOUT_SECONDS = 2.0
"""Of one attempt to find the newest update; shutdown waits for no more than that."""

log = structlog.get_logger(__name__)


def run(settings: Settings) -> int:
    """Serve until SIGTERM or Ctrl-C; returns the exit code.

    Raises:
        StopError: the reason why this replica cannot serve.
    """
    use_threads(settings.serving.num_threads)
    sys.setswitchinterval(SWITCH_INTERVAL_SECONDS)
    gc.freeze()  # what the imports brought stays: walking over it again and again would only delay answers
    log.info("replica starting", model=settings.model.name, kafka=redacted(settings.kafka), pid=os.getpid())
    run_on_uvloop(lambda: _serve(settings))
    log.info("replica stopped")
    return 0


async def _serve(settings: Settings) -> None:
    model, serving = settings.model, settings.serving
    slot = Slot(resident_versions=serving.resident_versions)
    clock, telemetry = SystemClock(), PrometheusTelemetry(side="replica")
    with ExitStack() as resources:
        server = HttpServer(host=serving.host, port=serving.port)
        resources.callback(server.close)
        batcher = Batcher(
            slot,
            max_queued_requests=serving.max_queued_requests,
            max_batch_rows=serving.max_batch_rows,
            telemetry=telemetry,
            clock=clock,
        )
        builder = ModelBuilder(
            model,
            device=choose_device(serving.device),
            fetcher=_LazyFetcher(settings),
            batch_sizes=batcher.batch_sizes,
        )
        plane = DataPlane(
            model,
            slot=slot,
            batcher=batcher,
            telemetry=telemetry,
            clock=clock,
            timeout_seconds=serving.timeout_seconds,
            prediction_log=_prediction_log(settings, telemetry, resources),
            loaded=_loaded_versions(settings, builder),
        )
        grpc_server = _grpc_server(serving, plane, telemetry)
        ending = _Ending(plane, [server] if grpc_server is None else [server, grpc_server])
        updater = Updater(
            KafkaUpdateFeed(settings.kafka, model.name, timeout_seconds=BROKER_TIMEOUT_SECONDS),
            slot,
            builder,
            model=model.name,
            telemetry=telemetry,
            clock=clock,
            give_up=ending.from_thread,
        )
        app = http_app(plane, serving, telemetry=telemetry, render_metrics=telemetry.render)
        whole = WholeInferRequests(plane, max_body_bytes=serving.max_body_bytes, telemetry=telemetry)
        batcher.start()
        resources.callback(batcher.close)
        updater.start()
        resources.callback(updater.close)
        log.info(
            "listening", url=server.url, model=model.name, **({"grpc_port": grpc_server.port} if grpc_server else {})
        )
        async with asyncio.TaskGroup() as serving_until_stopped:
            serving_until_stopped.create_task(server.serve(app, grace_seconds=serving.grace_seconds, whole=whole))
            if grpc_server is not None:
                serving_until_stopped.create_task(grpc_server.serve(grace_seconds=serving.grace_seconds))
    if ending.reason is not None:
        raise ending.reason


def _grpc_server(serving: ServingConfig, plane: DataPlane, telemetry: Telemetry) -> "GrpcServer | None":
    """Listening; None if there is no port for it. A replica that does without it does not pay for the import."""
    if serving.grpc_port == "off":
        return None
    from penstock.adapters.grpc.server import GrpcServer
    from penstock.adapters.grpc.service import handlers

    return GrpcServer(
        handlers(plane, telemetry),
        host=serving.host,
        port=serving.grpc_port,
        max_body_bytes=serving.max_body_bytes,
    )


def _prediction_log(settings: Settings, telemetry: Telemetry, resources: ExitStack) -> PredictionLog | None:
    """Started; None if predictions are not logged."""
    if not settings.serving.prediction_log.enabled:
        return None
    topic = TopicNames(settings.model.name).predictions
    prediction_log = PredictionLog(
        KafkaPredictionSink(settings.kafka, topic, telemetry),
        sample=settings.serving.prediction_log.sample,
        telemetry=telemetry,
        clock=SystemClock(),
    )
    prediction_log.start()
    resources.callback(prediction_log.close)
    log.info("logging predictions", topic=topic, sample=settings.serving.prediction_log.sample)
    return prediction_log


def _loaded_versions(settings: Settings, builder: ModelBuilder) -> LoadedVersions | None:
    """None if versions are not fetched on demand."""
    if not settings.serving.load_on_demand:
        return None
    from penstock.adapters.mlflow.version_archive import MlflowVersionArchive

    model = settings.model.name
    return LoadedVersions(
        MlflowVersionArchive(settings.mlflow, model),
        builder,
        model=model,
        kept=settings.serving.load_on_demand,
        clock=SystemClock(),
    )


class _Stoppable(Protocol):
    def stop(self) -> None: ...


class _Ending:
    """Begins the shutdown, by a signal or because the replica cannot go on; a second signal ends the process."""

    def __init__(self, plane: DataPlane, servers: Sequence[_Stoppable]) -> None:
        self.reason: StopError | None = None
        self._plane = plane
        self._servers = servers
        self._begun = False
        self._loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            self._loop.add_signal_handler(number, self._on_signal, number)

    def from_thread(self, reason: StopError) -> None:
        """End with this error; from any thread."""
        self.reason = reason
        self._loop.call_soon_threadsafe(self._begin)

    def _on_signal(self, number: int) -> None:
        if self._begun:
            os._exit(128 + number)
        log.info("replica stopping", signal=signal.Signals(number).name)
        self._begin()

    def _begin(self) -> None:
        self._begun = True
        self._plane.drain()
        for server in self._servers:
            server.stop()


class _LazyFetcher:
    """Imports MLflow, which takes a second and memory, only when an update's weights do not travel inline."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._fetcher: WeightsFetcher | None = None

    def fetch(self, update: ModelUpdate) -> bytes:
        """As `serving.ports.WeightsFetcher.fetch`."""
        if self._fetcher is None:
            from penstock.adapters.mlflow.artifacts import ArtifactFetcher

            self._fetcher = ArtifactFetcher(self._settings.mlflow, self._settings.serving.allowed_weights_prefixes)
        return self._fetcher.fetch(update)
