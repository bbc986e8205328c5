"""A model is built between the passes for requests, and not in the middle of one."""

from threading import Event, Thread
from typing import Any

import pytest

from penstock.flow import ModelUpdate
from penstock.learning.device import CPU
from penstock.serving.builder import ModelBuilder
from penstock.serving.right_of_way import RightOfWay
from running_batchers import Watched, batching, rows, within_patience
from served_models import PIXELS, update_of
from waiting import wait_for

FOREVER = 3600.0


def test_a_build_stands_back_until_the_pass_is_over() -> None:
    way, asked = RightOfWay(most_seconds=FOREVER), Event()

    def build() -> None:
        asked.set()
        way.stand_back()

    with way:
        builder = Thread(target=build, daemon=True)
        builder.start()
        assert asked.wait(30)
        builder.join(0.1)
        assert builder.is_alive()
    wait_for(lambda: not builder.is_alive(), "it goes on")


def test_a_replica_that_is_never_idle_gets_its_new_models_too() -> None:
    way = RightOfWay(most_seconds=0.001)
    with way:
        way.stand_back()


@pytest.mark.parametrize("num_rows", [1, 64])
def test_the_way_is_taken_while_a_pass_is_made_and_free_again_when_it_is_answered(num_rows: int) -> None:
    way, taken = RightOfWay(), list[bool]()

    async def ask() -> None:
        model = Watched(lambda _: taken.append(way.is_taken))
        async with batching(model, max_batch_rows=64, right_of_way=way) as batcher:
            for _ in range(40):  # some are made by the thread, and small ones on the event loop then
                await batcher.predict(rows(num_rows), num_rows)

    within_patience(ask())
    assert taken == [True] * 40
    assert not way.is_taken


def test_a_build_makes_way_before_each_tensor_that_it_reads() -> None:
    announced: ModelUpdate = update_of(1)
    made_way = 0

    def make_way() -> None:
        nonlocal made_way
        made_way += 1

    built = ModelBuilder(PIXELS, device=CPU, fetcher=NothingToFetch(), make_way=make_way).build(announced)
    assert made_way > len(built.predictor.network.tensors())


class NothingToFetch:
    def fetch(self, uri: str, size_bytes: int) -> Any:
        raise AssertionError(f"{uri} is fetched")
