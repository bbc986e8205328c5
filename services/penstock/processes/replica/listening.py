"""The listeners of a replica: from when it may listen until what was in flight at its end is answered."""

import asyncio
from functools import partial
from typing import TYPE_CHECKING

import structlog

from penstock.adapters.http.app import RenderMetrics, http_app
from penstock.adapters.http.server import HttpServer
from penstock.adapters.http.whole_requests import WholeInferRequests
from penstock.adapters.prometheus.group_metrics import GroupMetrics
from penstock.processes.replica.ending import Ending
from penstock.processes.replica.membership import Membership
from penstock.processes.replica.parts import Parts
from penstock.serving.config import ServingConfig
from penstock.serving.slot import Slot

if TYPE_CHECKING:
    from penstock.adapters.grpc.server import GrpcServer

TURN_POLL_SECONDS = 0.02

log = structlog.get_logger(__name__)


async def answer_alone(config: ServingConfig, parts: Parts, server: HttpServer, ending: Ending) -> None:
    """Answer on ports of its own; returns once `ending` has begun and nothing is in flight.

    Raises:
        ConfigurationError: the port for gRPC cannot be listened on.
    """
    await _answer(config, parts, server, ending, render_metrics=parts.telemetry.render_async, shared=False)


async def answer_in_turn(
    member: Membership, config: ServingConfig, parts: Parts, server: HttpServer, ending: Ending
) -> None:
    """As one of several on the same ports, which ends with the process that started it; else as `answer_alone`."""
    metrics = GroupMetrics(member.folder, member.number, parts.telemetry.render)
    async with asyncio.TaskGroup() as tasks:
        exposing = tasks.create_task(metrics.serve())
        ending.with_standard_input()
        await _turn(member, parts.slot, ending)
        await _answer(config, parts, server, ending, render_metrics=metrics.render, shared=True)
        exposing.cancel()


async def _turn(member: Membership, slot: Slot, ending: Ending) -> None:
    """Wait until this member may listen: see `Membership`."""
    while not (member.listens_at_once or slot.current is not None or ending.begun):
        await asyncio.sleep(TURN_POLL_SECONDS)


async def _answer(
    config: ServingConfig,
    parts: Parts,
    server: HttpServer,
    ending: Ending,
    *,
    render_metrics: RenderMetrics,
    shared: bool,
) -> None:
    plane, telemetry = parts.plane, parts.telemetry
    app = http_app(plane, config, telemetry=telemetry, render_metrics=render_metrics)
    whole = WholeInferRequests(plane, max_body_bytes=config.max_body_bytes, telemetry=telemetry)
    grpc_server = _grpc_server(config, parts, shared=shared)
    grpc_port = {} if grpc_server is None else {"grpc_port": grpc_server.port}
    say = partial(log.info, "listening", url=server.url, model=plane.model, **grpc_port)
    answering = [server.serve(app, grace_seconds=config.grace_seconds, whole=whole, on_listening=say)]
    if grpc_server is not None:
        ending.when_begun(grpc_server.stop)
        answering.append(grpc_server.serve(grace_seconds=config.grace_seconds))
    await asyncio.gather(*answering)


def _grpc_server(config: ServingConfig, parts: Parts, *, shared: bool) -> "GrpcServer | None":
    """Listening; None if there is no port for it. A replica that does without it does not pay for the import."""
    if config.grpc_port == "off":
        return None
    from penstock.adapters.grpc.server import GrpcServer
    from penstock.adapters.grpc.service import handlers

    return GrpcServer(
        handlers(parts.plane, parts.telemetry),
        host=config.host,
        port=config.grpc_port,
        max_body_bytes=config.max_body_bytes,
        shared=shared,
    )
