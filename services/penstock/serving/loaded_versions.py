"""Recorded versions that somebody asks for: fetched, verified and built off the request path, and kept a while.

Of those that are kept the least recently asked for leaves first. What is being fetched is fetched once, however many
wait for it; what is not recorded is not looked for again at once.
"""

import asyncio
import re
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from threading import Thread
from typing import Final

import structlog

from penstock.clock import Clock
from penstock.errors import PenstockError, RefusedUpdateError, UnavailableError
from penstock.learning.device import begin_computing
from penstock.serving.builder import ModelBuilder
from penstock.serving.ports import VersionArchive
from penstock.serving.refusals import NotReadyError, OverdueError, QueueFullError, UnknownModelError
from penstock.serving.slot import ServedModel

MAX_WAITING: Final = 16
"""Versions that may be fetched or wait for it at a time."""
MISSING_SECONDS: Final = 10.0
"""A version that was not there is taken for missing this long."""
MAX_MISSING: Final = 1000
_NUMBER: Final = re.compile(r"[1-9][0-9]{0,17}")

log = structlog.get_logger(__name__)


class LoadedVersions:
    """Belongs to one event loop.

    Args:
        kept: how many versions, at least 1.
    """

    def __init__(self, archive: VersionArchive, builder: ModelBuilder, *, model: str, kept: int, clock: Clock) -> None:
        self._archive = archive
        self._builder = builder
        self._model = model
        self._kept = kept
        self._clock = clock
        self._models: dict[str, ServedModel] = {}
        self._fetching: dict[str, asyncio.Task[ServedModel]] = {}
        self._missing: dict[str, float] = {}
        self._one_at_a_time = asyncio.Lock()

    @property
    def models(self) -> Sequence[ServedModel]:
        """Those that answer without being fetched, by version."""
        return sorted(self._models.values(), key=lambda served: served.version)

    async def get(self, version: str, *, timeout_seconds: float) -> ServedModel:
        """The model of a version as callers write it.

        Raises:
            UnknownModelError: it is not recorded, or cannot be served here.
            NotReadyError: it cannot be fetched now.
            OverdueError: it took longer than the caller waits; the fetch goes on.
            QueueFullError: too many versions are being fetched.
        """
        served = self._models.pop(version, None)
        if served is not None:
            self._models[version] = served  # asked for last
            return served
        self._refuse_missing(version)
        task = self._fetching.get(version)
        if task is None:
            if len(self._fetching) >= MAX_WAITING:
                raise QueueFullError(f"{MAX_WAITING} versions are being fetched already; try again.")
            task = self._fetching[version] = asyncio.create_task(self._fetch(version))
            task.add_done_callback(_seen)
        try:
            async with asyncio.timeout(timeout_seconds):
                return await asyncio.shield(task)
        except TimeoutError:
            raise OverdueError(f"Version {version} is still being fetched; ask again.") from None

    def _refuse_missing(self, version: str) -> None:
        if not _NUMBER.fullmatch(version) or self._missing.get(version, 0.0) > self._clock.monotonic_seconds():
            raise self._unknown(version)

    async def _fetch(self, version: str) -> ServedModel:
        try:
            async with self._one_at_a_time:
                served = await _in_a_thread(lambda: self._built(int(version)))
        except UnknownModelError:
            if len(self._missing) >= MAX_MISSING:
                self._missing.clear()
            self._missing[version] = self._clock.monotonic_seconds() + MISSING_SECONDS
            raise
        finally:
            del self._fetching[version]
        self._models[version] = served
        if len(self._models) > self._kept:
            del self._models[next(iter(self._models))]
        log.info("recorded version loaded", version=served.version, mlflow_version=served.mlflow_version)
        return served

    def _built(self, version: int) -> ServedModel:
        try:
            recorded = self._archive.read(version)
            if recorded is None:
                raise self._unknown(str(version))
            return replace(self._builder.build(recorded.update), mlflow_version=recorded.mlflow_version)
        except UnavailableError as error:
            log.warning("recorded version out of reach", version=version, reason=str(error))
            raise NotReadyError(f"Version {version} cannot be fetched from MLflow now; try again later.") from None
        except RefusedUpdateError as error:
            log.warning("recorded version refused", version=version, reason=error.reason, sentence=str(error))
            raise UnknownModelError(f"Version {version} cannot be served here: {error}") from None
        except PenstockError:
            raise
        except Exception:  # of the operator's factory or of MLflow; the newest version goes on answering
            log.exception("recorded version failed", version=version)
            raise UnknownModelError(f"Version {version} cannot be served here; the reason is in the log.") from None

    def _unknown(self, version: str) -> UnknownModelError:
        return UnknownModelError(f"Version {version[:20]!r} of model {self._model!r} is not recorded.")


def _seen(task: "asyncio.Task[ServedModel]") -> None:
    """Whoever waited may have gone; its error is not one nobody looked at."""
    if not task.cancelled():
        task.exception()


async def _in_a_thread(build: Callable[[], ServedModel]) -> ServedModel:
    """What `build` returns or raises; the process does not wait for it when it ends."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[ServedModel] = loop.create_future()

    def settle(served: ServedModel | None, error: Exception | None) -> None:
        if future.done():
            return  # nobody waits any more
        if served is not None:
            future.set_result(served)
        elif error is not None:
            future.set_exception(error)

    def run() -> None:
        begin_computing()
        served, error = None, None
        try:
            served = build()
        except Exception as caught:  # handed to whoever waits for the version
            error = caught
        with suppress(RuntimeError):  # the loop has ended
            loop.call_soon_threadsafe(settle, served, error)

    Thread(target=run, name="versions", daemon=True).start()
    return await future
