"""The intake runs ahead of the learner, a little, and its errors reach the learner in order."""

import pytest

from penstock.errors import PoisonedStreamError
from penstock.flow import EventBatch, Offsets
from penstock.trainer.prefetch import Prefetcher


def batch(offset: int) -> EventBatch:
    import pyarrow as pa

    return EventBatch(
        events=pa.RecordBatch.from_pydict({"label": ["a"]}),
        offsets=Offsets(next={0: offset}),
        closed_by="size",
        age_seconds=0.0,
    )


class CountingSource:
    """Yields ten batches and then stops with a sentence."""

    def __init__(self) -> None:
        self.taken = 0

    def next_batch(self, timeout_seconds: float) -> EventBatch | None:
        self.taken += 1
        if self.taken > 10:
            raise PoisonedStreamError("too many invalid events")
        return batch(self.taken)


def test_batches_come_in_order_and_the_error_behind_them() -> None:
    prefetcher = Prefetcher(CountingSource())
    prefetcher.start()
    for offset in range(1, 11):
        got = prefetcher.next_batch(10)
        assert got is not None
        assert got.offsets == Offsets(next={0: offset})
    with pytest.raises(PoisonedStreamError, match="too many invalid events"):
        prefetcher.next_batch(10)
    prefetcher.close()


def test_it_runs_ahead_by_its_depth_only() -> None:
    source = CountingSource()
    prefetcher = Prefetcher(source, depth=2)
    prefetcher.start()
    first = prefetcher.next_batch(10)
    second = prefetcher.next_batch(10)
    assert first is not None
    assert second is not None
    prefetcher.close()
    assert source.taken <= 2 + 2 + 1


def test_close_ends_the_thread_while_nobody_takes() -> None:
    prefetcher = Prefetcher(CountingSource(), depth=1)
    prefetcher.start()
    prefetcher.close(10)
    assert not prefetcher._thread.is_alive()
