"""Any interleaving of updates, requests and failures keeps what a swap promises.

In-flight requests end on the model that they began with, every answer names the version that computed it, one version
per batch, along one connection the version never goes back, a bad update changes nothing, and old models are freed.
"""

import asyncio
import gc
import weakref
from dataclasses import replace
from functools import partial
from typing import ClassVar

import numpy as np
import pytest
import torch
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from counted_telemetry import CountedTelemetry
from large_updates import Store, delta_of, spoilt, whole_of, with_delta
from penstock.clock import SystemClock
from penstock.errors import UnavailableError
from penstock.flow import Claim, Recorded, Withdrawal
from penstock.learning.predictor import Predictor
from penstock.serving.batching import Batcher
from penstock.serving.builder import ModelBuilder
from penstock.serving.data_plane import DataPlane
from penstock.serving.refusals import NotReadyError, UnknownModelError
from penstock.serving.requests import InferRequest, InferResponse, InputTensor, RequestedOutput
from penstock.serving.slot import Slot
from penstock.serving.updater import Updater
from served_models import CPU, PIXELS, QueuedFeed, corrupt, served, update_of

RESIDENTS = 2
ROWS = np.random.default_rng(5).normal(size=(12, 64)).astype(np.float32)
EXPECTED = {version: served(version).probabilities({"pixels": ROWS}) for version in range(1, 5)}
"""By version; later ones carry the same weights in turn."""


class SwapRaces(RuleBasedStateMachine):
    """An updater that is moved by hand or in a thread, beside an event loop with requests and an inference thread."""

    num_answers: ClassVar[int] = 0

    def __init__(self) -> None:
        super().__init__()
        torch.set_num_threads(1)
        self.feed, self.slot, self.store = QueuedFeed(), Slot(resident_versions=RESIDENTS), Store()
        clock, telemetry = SystemClock(), CountedTelemetry()
        self.batcher = Batcher(self.slot, max_queued_requests=1000, max_batch_rows=20, telemetry=telemetry, clock=clock)
        self.plane = DataPlane(PIXELS, slot=self.slot, batcher=self.batcher, telemetry=telemetry, clock=clock)
        self.updater = Updater(
            self.feed,
            self.slot,
            ModelBuilder(PIXELS, device=CPU, fetcher=self.store, make_way=lambda: None),
            model=PIXELS.name,
            telemetry=telemetry,
            clock=clock,
            give_up=lambda error: pytest.fail(str(error)),
            retry_seconds=0.0,
        )
        self.loop = asyncio.new_event_loop()
        self.loop.run_until_complete(self._start())
        self.updater.follow()  # finds nothing at the end of the log; what comes next is appended
        self.version, self.epoch, self.bases = 0, 1, [0]
        self.seen: list[weakref.ref[Predictor]] = []
        self.place = (0, 0)
        self.asked: list[asyncio.Task[None]] = []
        self.connections: dict[int, asyncio.Task[None]] = {}
        self.answered: dict[int, list[int]] = {}

    async def _start(self) -> None:
        self.batcher.start()

    @rule(kind=st.sampled_from(["inline", "whole", "delta", "corrupt", "spoilt", "base away", "other ledger"]))
    def announce(self, kind: str) -> None:
        self.version += 1
        if kind == "whole" or (kind in ("delta", "spoilt", "base away") and not self.bases[-1]):
            self.bases.append(self.version)
            update = whole_of(self.store, self.version, epoch=self.epoch)
        elif kind in ("delta", "spoilt", "base away"):
            update = delta_of(self.version, self.bases[-1], epoch=self.epoch)
        else:
            update = update_of(self.version, epoch=self.epoch)
        if kind == "corrupt":
            update = corrupt(update)
        elif kind == "other ledger":
            update = replace(update, class_ledger_digest="0" * 64)
        elif update.delta is not None and kind != "delta":
            away = with_delta(update, base_uri="file:///away", base_sha256="1" * 64)
            update = spoilt(update) if kind == "spoilt" else away
        self.feed.append(update)

    @rule(age=st.integers(1, 3))
    def repeat_an_older_one(self, age: int) -> None:
        if self.version > age:
            self.feed.append(update_of(self.version - age, epoch=self.epoch))

    @rule(fenced=st.booleans())
    def claim(self, *, fenced: bool) -> None:
        self.epoch += 1
        self.feed.append(Claim(epoch=self.epoch, holder="next"))
        if fenced:
            self.feed.append(update_of(self.version + 50, epoch=self.epoch - 1))

    @rule()
    def withdraw(self) -> None:
        self.feed.append(Withdrawal(model=PIXELS.name))

    @rule()
    def record(self) -> None:
        if self.version:
            update = update_of(self.version)
            self.feed.append(
                Recorded(
                    model=PIXELS.name,
                    version=self.version,
                    epoch=self.epoch,
                    sha256=update.sha256,
                    mlflow_version=str(self.version),
                )
            )

    @rule(is_defect=st.booleans())
    def break_the_feed(self, *, is_defect: bool) -> None:
        self.feed.problems.append(ZeroDivisionError("a defect") if is_defect else UnavailableError("gone"))

    @rule(connection=st.integers(0, 2), num_rows=st.sampled_from([1, 3, 12]), pinned=st.booleans())
    def ask(self, connection: int, num_rows: int, *, pinned: bool) -> None:
        version = self.slot.residents[0].version if pinned and self.slot.residents else None
        before = self.connections.get(connection)
        task = self.loop.create_task(self._answer(connection, before, num_rows, version))
        self.connections[connection] = task
        self.asked.append(task)

    @rule()
    def follow(self) -> None:
        self._follow()

    @rule()
    def let_requests_run(self) -> None:
        self.loop.run_until_complete(asyncio.sleep(0))

    @rule()
    def follow_beside_requests(self) -> None:
        self.loop.run_until_complete(self._beside())
        self._settle()

    @rule()
    def await_answers(self) -> None:
        self._settle()

    @invariant()
    def what_is_served_is_whole_and_only_moves_forward(self) -> None:
        current, residents = self.slot.current, self.slot.residents
        if current is None:
            assert not residents
            return
        assert residents[-1] is current
        assert len(residents) <= RESIDENTS
        assert current.place >= self.place
        assert current.version >= self.place[1]
        self.place = current.place
        versions = [model.version for model in residents]
        assert versions == sorted(set(versions))
        for model in residents:
            assert model.sha256 == update_of(model.version).sha256
            assert model.mlflow_version in (None, model.version_text)
            if not any(known() is model.predictor for known in self.seen):
                self.seen.append(weakref.ref(model.predictor))

    def teardown(self) -> None:
        self._settle()
        while self.feed.problems:
            self._follow()
        self.feed.append(whole_of(self.store, self.version + 100, epoch=self.epoch + 1))
        self._follow()
        assert self.slot.current is not None
        assert self.slot.current.version == self.version + 100, "a good update is served whatever came before it"
        self.batcher.close()
        self.loop.run_until_complete(asyncio.sleep(0))
        self.loop.close()
        residents = [id(model.predictor) for model in self.slot.residents]
        self.asked, self.connections = [], {}
        gc.collect()
        left = [known() for known in self.seen]
        assert sum(model is not None and id(model) not in residents for model in left) <= 1, "only a base may stay"

    def _follow(self) -> None:
        """As the updater's thread does: what fails does not end it."""
        try:
            self.updater.follow()
        except ZeroDivisionError:
            return

    async def _beside(self) -> None:
        await asyncio.gather(self.loop.run_in_executor(None, self._follow), *self.asked)

    def _settle(self) -> None:
        if self.asked:
            self.loop.run_until_complete(asyncio.gather(*self.asked))
        self.asked = []

    async def _answer(
        self, connection: int, before: "asyncio.Task[None] | None", num_rows: int, version: int | None
    ) -> None:
        """One request of a connection, once the one before is answered."""
        if before is not None:
            await before
        newest_then = self.slot.current
        try:
            response = await self.plane.infer(partial(request, num_rows, version), lambda response, _: response)
        except NotReadyError:
            assert newest_then is None
            return
        except UnknownModelError:
            assert all(model.version != version for model in self.slot.residents), "only one that has left is unknown"
            return
        answered = int(response.version)
        assert answered == version or (version is None and answered >= (newest_then.version if newest_then else 0))
        _check(response, answered, num_rows)
        type(self).num_answers += 1
        if version is None:
            versions = self.answered.setdefault(connection, [])
            assert not versions or answered >= versions[-1], "the version went back along a connection"
            versions.append(answered)


def request(num_rows: int, version: int | None) -> InferRequest:
    rows = InputTensor(name="pixels", datatype="FP32", shape=(num_rows, 64), values=ROWS[:num_rows].ravel())
    return InferRequest(
        model=PIXELS.name,
        version=None if version is None else str(version),
        id=None,
        inputs=(rows,),
        outputs=(RequestedOutput(name="probabilities"),),
        arrived_seconds=0.0,
    )


def _check(response: InferResponse, version: int, num_rows: int) -> None:
    """The answer is that of the version's weights, and of no others."""
    assert response.parameters["sha256"] == update_of(version).sha256
    expected = EXPECTED[(version - 1) % 4 + 1][:num_rows]
    np.testing.assert_allclose(np.asarray(response.outputs[0].values), expected, rtol=0, atol=1e-6)


TestSwapRaces = SwapRaces.TestCase
TestSwapRaces.settings = settings(deadline=None, max_examples=20, stateful_step_count=30)


def test_the_machine_has_answered_requests() -> None:
    """A machine that is refused everything would keep every promise."""
    machine = SwapRaces()
    machine.announce("inline")
    machine.follow()
    before = SwapRaces.num_answers
    for connection in (0, 1, 0):
        machine.ask(connection, 3, pinned=False)
    machine.announce("delta")
    machine.follow_beside_requests()
    assert SwapRaces.num_answers == before + 3
    machine.what_is_served_is_whole_and_only_moves_forward()
    machine.teardown()
