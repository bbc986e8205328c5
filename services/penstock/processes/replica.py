"""The replica process: wiring only. Follows the update topic in one thread, infers in another, answers on the loop."""

import asyncio
import gc
import os
import signal
import sys
from collections.abc import Callable
from contextlib import ExitStack
from typing import TYPE_CHECKING, BinaryIO

import structlog

from penstock.adapters.http.app import http_app
from penstock.adapters.http.server import HttpServer, run_on_uvloop
from penstock.adapters.http.whole_requests import WholeInferRequests
from penstock.adapters.kafka.config import redacted
from penstock.adapters.kafka.prediction_sink import KafkaPredictionSink
from penstock.adapters.kafka.topic_names import TopicNames
from penstock.adapters.kafka.update_feed import KafkaUpdateFeed
from penstock.adapters.mlflow.scratch import remove_abandoned
from penstock.adapters.prometheus.group_metrics import GroupMetrics
from penstock.adapters.prometheus.telemetry import PrometheusTelemetry
from penstock.clock import SystemClock
from penstock.errors import ConfigurationError, StopError
from penstock.learning.device import choose_device, use_threads
from penstock.processes import open_files
from penstock.processes.group_member import Membership
from penstock.processes.signing import serving_keys
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
TURN_POLL_SECONDS = 0.02

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
    model, serving = settings.model, settings.serving
    slot = Slot(resident_versions=serving.resident_versions)
    clock, telemetry, device = SystemClock(), PrometheusTelemetry(side="replica"), choose_device(serving.device)
    with ExitStack() as resources:
        server = HttpServer(host=serving.host, port=serving.port, shared=member is not None)
        resources.callback(server.close)
        batcher = Batcher(
            slot,
            max_queued_requests=serving.max_queued_requests,
            max_batch_rows=serving.max_batch_rows,
            max_batch_delay_seconds=serving.max_batch_delay_seconds,
            telemetry=telemetry,
            clock=clock,
            device=device,
        )
        builder = ModelBuilder(
            model,
            device=device,
            fetcher=_LazyFetcher(settings),
            batch_sizes=batcher.batch_sizes,
            max_weights_bytes=serving.max_weights_bytes,
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
            max_staleness_seconds=serving.max_staleness_seconds,
        )
        ending = _Ending(plane)
        ending.when_begun(server.stop)
        updater = Updater(
            KafkaUpdateFeed(
                settings.kafka,
                model.name,
                timeout_seconds=BROKER_TIMEOUT_SECONDS,
                signing_keys=serving_keys(settings),
                on_refused=lambda reason: telemetry.count("penstock_swaps_total", result=reason),
            ),
            slot,
            builder,
            model=model.name,
            telemetry=telemetry,
            clock=clock,
            give_up=ending.from_thread,
        )
        metrics = None if member is None else GroupMetrics(member.folder, member.number, telemetry.render)
        app = http_app(
            plane,
            serving,
            telemetry=telemetry,
            render_metrics=telemetry.render_async if metrics is None else metrics.render,
        )
        whole = WholeInferRequests(plane, max_body_bytes=serving.max_body_bytes, telemetry=telemetry)
        batcher.start()
        resources.callback(batcher.close)
        updater.start()
        resources.callback(updater.close)
        async with asyncio.TaskGroup() as serving_until_stopped:
            exposing = None if metrics is None else serving_until_stopped.create_task(metrics.serve())
            if member is not None:
                ending.with_standard_input()
                await _turn(member, slot, ending)
            grpc_server = _grpc_server(serving, plane, telemetry, shared=member is not None)
            log.info(
                "listening",
                url=server.url,
                model=model.name,
                **({"grpc_port": grpc_server.port} if grpc_server else {}),
            )
            answering = [server.serve(app, grace_seconds=serving.grace_seconds, whole=whole)]
            if grpc_server is not None:
                ending.when_begun(grpc_server.stop)
                answering.append(grpc_server.serve(grace_seconds=serving.grace_seconds))
            await asyncio.gather(*answering)
            if exposing is not None:
                exposing.cancel()
    if ending.reason is not None:
        raise ending.reason


async def _turn(member: Membership, slot: Slot, ending: "_Ending") -> None:
    """Wait until this member may listen: see `Membership`."""
    while not (member.listens_at_once or slot.current is not None or ending.begun):
        await asyncio.sleep(TURN_POLL_SECONDS)


def _grpc_server(
    serving: ServingConfig, plane: DataPlane, telemetry: Telemetry, *, shared: bool
) -> "GrpcServer | None":
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
        shared=shared,
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
    """None if versions are not fetched on demand. Raises `ConfigurationError` where those would not be verified."""
    if not settings.serving.load_on_demand:
        return None
    if settings.serving.signing_key_file:
        raise ConfigurationError(
            f"serving.load_on_demand is {settings.serving.load_on_demand} and serving.signing_key_file is set, but "
            "versions in MLflow carry no signature; unset one of the two."
        )
    from penstock.adapters.mlflow.version_archive import MlflowVersionArchive

    model = settings.model.name
    return LoadedVersions(
        MlflowVersionArchive(settings.mlflow, model),
        builder,
        model=model,
        kept=settings.serving.load_on_demand,
        clock=SystemClock(),
    )


class _Ending:
    """Begins the shutdown, by a signal or because the replica cannot go on; a second signal ends the process."""

    def __init__(self, plane: DataPlane) -> None:
        self.reason: StopError | None = None
        self.begun = False
        self._plane = plane
        self._steps: list[Callable[[], None]] = []
        self._loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            self._loop.add_signal_handler(number, self._on_signal, number)

    def when_begun(self, step: Callable[[], None]) -> None:
        """Do this, too, on the event loop; now, if the shutdown has begun."""
        self._steps.append(step)
        if self.begun:
            step()

    def with_standard_input(self) -> None:
        """Begin when it ends, as it does with the process that holds its other end."""
        self._loop.add_reader(sys.stdin.fileno(), self._on_input)

    def from_thread(self, reason: StopError) -> None:
        """End with this error; from any thread."""
        self.reason = reason
        self._loop.call_soon_threadsafe(self._begin)

    def _on_signal(self, number: int) -> None:
        if self.begun:
            os._exit(128 + number)
        log.info("replica stopping", signal=signal.Signals(number).name)
        self._begin()

    def _on_input(self) -> None:
        self._loop.remove_reader(sys.stdin.fileno())
        if not self.begun:
            log.warning("replica stopping, since the process that started it has ended")
            self._begin()

    def _begin(self) -> None:
        self.begun = True
        self._plane.drain()
        for step in self._steps:
            step()


class _LazyFetcher:
    """Imports MLflow, which takes a second and memory, only when an update's weights do not travel inline."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._fetcher: WeightsFetcher | None = None

    def fetch(self, uri: str, size_bytes: int) -> BinaryIO:
        """As `serving.ports.WeightsFetcher.fetch`."""
        if self._fetcher is None:
            from penstock.adapters.mlflow.fetcher import ArtifactFetcher

            serving = self._settings.serving
            self._fetcher = ArtifactFetcher(
                self._settings.mlflow,
                serving.allowed_weights_prefixes,
                timeout_seconds=serving.fetch_timeout_seconds,
            )
        return self._fetcher.fetch(uri, size_bytes)
