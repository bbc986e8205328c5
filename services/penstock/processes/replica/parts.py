"""What a replica consists of behind its listeners, wired to the outside."""

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass

import structlog
import torch

from penstock.adapters.feed_process.client import FeedProcess
from penstock.adapters.feed_process.messages import Start
from penstock.adapters.kafka.prediction_sink import KafkaPredictionSink
from penstock.adapters.kafka.topic_names import TopicNames
from penstock.adapters.prometheus.telemetry import PrometheusTelemetry
from penstock.clock import SystemClock
from penstock.errors import ConfigurationError, StopError
from penstock.learning.device import choose_device
from penstock.processes.feed import COMMAND as FEED
from penstock.processes.replica.lazy_fetcher import LazyFetcher
from penstock.processes.signing import serving_keys
from penstock.serving.batching import Batcher
from penstock.serving.builder import ModelBuilder
from penstock.serving.config import ServingConfig
from penstock.serving.data_plane import DataPlane
from penstock.serving.loaded_versions import LoadedVersions
from penstock.serving.prediction_log import PredictionLog
from penstock.serving.right_of_way import RightOfWay
from penstock.serving.slot import Slot
from penstock.serving.updater import Updater
from penstock.settings import Settings
from penstock.telemetry import Telemetry

BROKER_TIMEOUT_SECONDS = 2.0
"""Of one attempt to find the newest update; shutdown waits for no more than that."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True, kw_only=True)
class Parts:
    """Of one replica. Neither the batcher nor what updates the slot runs yet, to which requests have right of way."""

    right_of_way: RightOfWay
    slot: Slot
    batcher: Batcher
    builder: ModelBuilder
    plane: DataPlane
    telemetry: PrometheusTelemetry


def assembled(settings: Settings, resources: ExitStack) -> Parts:
    """All parts; `resources` closes what must be closed."""
    slot = Slot(resident_versions=settings.serving.resident_versions)
    telemetry = PrometheusTelemetry(side="replica")
    device = choose_device(settings.serving.device, "serving.device")
    right_of_way = RightOfWay()
    batcher = _batcher(settings.serving, slot, telemetry, device, right_of_way)
    builder = ModelBuilder(
        settings.model,
        device=device,
        fetcher=LazyFetcher(settings),
        batch_sizes=batcher.batch_sizes,
        make_way=right_of_way.stand_back,
        max_weights_bytes=settings.serving.max_weights_bytes,
    )
    plane = DataPlane(
        settings.model,
        slot=slot,
        batcher=batcher,
        telemetry=telemetry,
        clock=SystemClock(),
        timeout_seconds=settings.serving.timeout_seconds,
        prediction_log=_prediction_log(settings, telemetry, resources),
        loaded=_loaded_versions(settings, builder),
        max_staleness_seconds=settings.serving.max_staleness_seconds,
        max_request_rows=settings.serving.max_request_rows,
        max_text_bytes=settings.serving.max_text_bytes,
    )
    return Parts(
        right_of_way=right_of_way, slot=slot, batcher=batcher, builder=builder, plane=plane, telemetry=telemetry
    )


def updater_of(settings: Settings, parts: Parts, *, give_up: Callable[[StopError], None]) -> Updater:
    """What keeps the slot on the newest version; not started."""
    keys = serving_keys(settings)
    start = Start(
        model=settings.model.name,
        kafka=settings.kafka,
        timeout_seconds=BROKER_TIMEOUT_SECONDS,
        signing_keys=None if keys is None else keys.keys,
    )
    make_way = parts.right_of_way.stand_back
    return Updater(
        FeedProcess(
            FEED,
            start,
            on_refused=lambda reason: parts.telemetry.count("penstock_swaps_total", result=reason),
            make_way=make_way,
        ),
        parts.slot,
        parts.builder,
        model=settings.model.name,
        telemetry=parts.telemetry,
        clock=SystemClock(),
        give_up=give_up,
        make_way=make_way,
    )


def _batcher(
    serving: ServingConfig, slot: Slot, telemetry: Telemetry, device: torch.device, right_of_way: RightOfWay
) -> Batcher:
    return Batcher(
        slot,
        max_queued_requests=serving.max_queued_requests,
        max_batch_rows=serving.max_batch_rows,
        max_batch_delay_seconds=serving.max_batch_delay_seconds,
        telemetry=telemetry,
        clock=SystemClock(),
        device=device,
        right_of_way=right_of_way,
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
