"""Delta updates at a replica: whole, verified weights whatever comes in whatever order, and never older ones."""

import gc
import weakref
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from counted_telemetry import CountedTelemetry
from large_updates import OUTSIDE, Store, delta_of, spoilt, whole_of, with_delta
from penstock.clock import SystemClock
from penstock.flow import Claim, LogRecord, ModelUpdate, Recorded
from penstock.serving.builder import ModelBuilder
from penstock.serving.slot import Slot
from penstock.serving.updater import Updater
from served_models import CPU, PIXELS, QueuedFeed, corrupt, served, update_of

ROWS = np.random.default_rng(7).normal(size=(3, 64)).astype(np.float32)


class Replica:
    """An updater that is moved by hand, with everything around it."""

    def __init__(self, *, resident_versions: int = 1) -> None:
        torch.set_num_threads(1)
        self.feed, self.slot, self.store = QueuedFeed(), Slot(resident_versions=resident_versions), Store()
        self.telemetry = CountedTelemetry()
        self.builder = ModelBuilder(PIXELS, device=CPU, fetcher=self.store, make_way=lambda: None)
        self.updater = Updater(
            self.feed,
            self.slot,
            self.builder,
            model=PIXELS.name,
            telemetry=self.telemetry,
            clock=SystemClock(),
            give_up=lambda error: pytest.fail(str(error)),
            retry_seconds=0.0,
        )
        self.updater.follow()  # finds nothing at the end of the log; what comes next is appended

    def take(self, *records: LogRecord) -> int:
        """Let these be appended, and the updater follow; the version that is served then."""
        self.feed.append(*records)
        self.updater.follow()
        return 0 if self.slot.current is None else self.slot.current.version

    def deltas(self, result: str) -> float:
        return self.telemetry.value("penstock_deltas_total", result=result)


def answers(replica: Replica) -> npt.NDArray[np.float32]:
    assert replica.slot.current is not None
    return replica.slot.current.probabilities({"pixels": ROWS})


def expected(version: int) -> npt.NDArray[np.float32]:
    """What the weights of this version answer when they are built from the whole file."""
    return served(version).probabilities({"pixels": ROWS})


def test_a_delta_over_the_whole_weights_before_it_is_served_without_a_fetch() -> None:
    replica = Replica()
    assert replica.take(whole_of(replica.store, 1)) == 1
    assert replica.take(delta_of(2, 1), delta_of(3, 1)) == 3
    assert replica.take(delta_of(4, 1)) == 4
    assert np.array_equal(answers(replica), expected(4))
    assert replica.store.num_fetched == 1
    assert replica.deltas("applied") == 2
    assert replica.telemetry.results() == {"swapped": 3, "skipped": 1}


def test_a_late_joiner_is_ready_after_one_fetch_of_the_base() -> None:
    replica = Replica()
    whole_of(replica.store, 1)
    assert replica.take(delta_of(3, 1)) == 3
    assert np.array_equal(answers(replica), expected(3))
    assert replica.store.num_fetched == 1
    assert replica.take(delta_of(4, 1)) == 4
    assert np.array_equal(answers(replica), expected(4))
    assert replica.store.num_fetched == 1


def test_without_the_base_the_newest_whole_weights_are_served_until_it_can_be_had() -> None:
    replica = Replica()
    whole = whole_of(replica.store, 2)
    assert replica.take(whole, *(delta_of(version, 1) for version in range(3, 12))) == 2
    assert replica.deltas("fetch") > 0
    whole_of(replica.store, 1)
    assert replica.take() == 11
    assert np.array_equal(answers(replica), expected(11))


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (with_delta(delta_of(2, 1), content=b"nothing"), "delta"),
        (spoilt(delta_of(2, 1)), "digest"),
        (replace(delta_of(2, 1), sha256="0" * 64), "digest"),
        (replace(delta_of(2, 1), size_bytes=7), "size"),
        (replace(delta_of(2, 1), class_ledger_digest="0" * 64), "ledger"),
        (with_delta(delta_of(2, 1), base_sha256="0" * 64), "base"),
        (with_delta(delta_of(2, 1), base_sha256="0" * 64, base_uri=f"{OUTSIDE}1"), "base"),
        (with_delta(delta_of(2, 3), base_uri="file:///weights/1"), "base"),
    ],
)
def test_a_bad_delta_keeps_the_current_model_and_is_counted(bad: ModelUpdate, reason: str) -> None:
    replica = Replica()
    assert replica.take(whole_of(replica.store, 1)) == 1
    assert replica.take(bad) == 1
    assert replica.deltas(reason) == 1
    assert replica.telemetry.results()[reason] == 1
    assert replica.take(delta_of(4, 1)) == 4
    assert np.array_equal(answers(replica), expected(4))


def test_memory_of_what_has_not_changed_is_shared_and_old_models_are_freed() -> None:
    replica = Replica(resident_versions=2)
    base, frozen = update_of(1), update_of(1).inline
    assert frozen is not None
    replica.take(whole_of(replica.store, 1))
    seen = [weakref.ref(replica.slot.current.predictor)] if replica.slot.current else []
    assert replica.take(replace(delta_of(5, 1), version=6, sha256=base.sha256)) == 6  # of weights just like the base's
    first, second = (model.predictor.network for model in replica.slot.residents)
    for name, tensor in first.backbone.state_dict().items():
        assert tensor.data_ptr() == second.backbone.state_dict()[name].data_ptr()
    assert first.head.rows.data_ptr() != second.head.rows.data_ptr()
    for version in range(7, 12):
        replica.take(whole_of(replica.store, version))
        current = replica.slot.current
        assert current is not None
        seen.append(weakref.ref(current.predictor))
    del first, second, current
    gc.collect()
    assert [model() is not None for model in seen] == [False] * 4 + [True] * 2


def test_a_module_that_cannot_be_copied_is_built_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    replica = Replica()
    replica.take(whole_of(replica.store, 1))
    assert replica.slot.current is not None

    def refuses(_memo: object) -> None:
        raise RuntimeError("a handle that belongs to one object")

    monkeypatch.setattr(type(replica.slot.current.predictor.network.backbone), "__deepcopy__", refuses, raising=False)
    assert replica.take(delta_of(2, 1)) == 2
    assert np.array_equal(answers(replica), expected(2))


def recorded(version: int, mlflow_version: str, **changes: object) -> Recorded:
    update = update_of(version)
    record = Recorded(
        model=update.model,
        version=version,
        epoch=update.epoch,
        sha256=update.sha256,
        mlflow_version=mlflow_version,
    )
    return replace(record, **changes)  # type: ignore[arg-type]  # by field name


def test_the_version_in_mlflow_is_named_once_it_is_recorded_whichever_comes_first() -> None:
    replica = Replica(resident_versions=2)
    replica.take(update_of(1))
    assert replica.slot.current is not None
    assert replica.slot.current.mlflow_version is None
    replica.take(recorded(1, "7"))
    assert replica.slot.current.mlflow_version == "7"
    replica.take(update_of(2), recorded(2, "8"), recorded(3, "9"), recorded(3, "0", sha256="0" * 64))
    assert [model.mlflow_version for model in replica.slot.residents] == ["7", "8"]
    replica.take(update_of(3))
    assert [model.mlflow_version for model in replica.slot.residents] == ["8", "9"]
    replica.take(recorded(3, "10", epoch=2))
    assert replica.slot.residents[-1] is replica.slot.current
    assert replica.slot.current.mlflow_version == "9"


KINDS = st.sampled_from(["inline", "whole", "delta", "corrupt inline", "spoilt delta", "base away", "whole away"])


@st.composite
def announcements(draw: st.DrawFn) -> list[tuple[str, ModelUpdate | Claim]]:
    """As trainers write them, one after the other; deltas name earlier whole weights, or ones that never were."""
    written: list[tuple[str, ModelUpdate | Claim]] = []
    epoch, bases = 1, [1]
    for version, kind in enumerate(draw(st.lists(KINDS, min_size=1, max_size=12)), 2):
        if draw(st.integers(0, 5)) == 0:
            epoch += 1
            written.append(("claim", Claim(epoch=epoch, holder="next")))
        if kind == "whole":
            bases.append(version)
            written.append((kind, whole_of(Store(), version, epoch=epoch)))
        elif kind == "whole away":
            written.append((kind, replace(whole_of(Store(), version, epoch=epoch), uri="file:///away")))
        elif "inline" in kind:
            update = update_of(version, epoch=epoch)
            written.append((kind, corrupt(update) if kind == "corrupt inline" else update))
        else:
            delta = delta_of(version, draw(st.sampled_from(bases)), epoch=epoch)
            away = with_delta(delta, base_sha256="1" * 64, base_uri="file:///away")
            written.append((kind, {"delta": delta, "spoilt delta": spoilt(delta), "base away": away}[kind]))
    return written


@settings(deadline=None, max_examples=60)
@given(announcements(), st.data())
def test_lost_repeated_and_reordered_updates_leave_whole_verified_weights_and_never_older_ones(
    written: list[tuple[str, ModelUpdate | Claim]], data: st.DataObject
) -> None:
    replica = Replica()
    for version in range(1, 15):
        whole_of(replica.store, version)
    places = data.draw(st.lists(st.integers(0, len(written) - 1), min_size=1, max_size=16))  # lost, again, disordered
    served_place, claimed, something_away = (0, 0), 0, False
    while places:
        size = data.draw(st.integers(1, 4))
        batch, places = [written[place] for place in places[:size]], places[size:]
        best = served_place
        for kind, record in batch:
            something_away = something_away or "away" in kind
            is_heard = record.epoch >= claimed
            claimed = max(claimed, record.epoch)
            if isinstance(record, ModelUpdate) and is_heard and kind in ("inline", "whole", "delta"):
                place = (record.epoch, record.version)
                best = max(best, place) if place[1] > served_place[1] else best
        replica.take(*(record for _, record in batch))
        current = replica.slot.current
        if current is not None:
            assert current.place >= served_place
            assert current.version >= served_place[1]
            assert current.sha256 == update_of(current.version).sha256
            assert np.array_equal(answers(replica), expected(current.version))
            served_place = current.place
        assert something_away or served_place == best
    whole = replace(update_of(90, epoch=50), inline=None, uri="file:///weights/90")
    replica.store.content["file:///weights/90"] = bytes(update_of(90).inline or b"")
    assert replica.take(whole) == 90
