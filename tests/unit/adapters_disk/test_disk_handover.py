"""A checkpoint handed over is taken by the trainer that starts next, unless that has claimed since."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from penstock.adapters.disk.checkpoints import DiskCheckpoints
from penstock.adapters.disk.handover import hand_over, handover_folder, take_back
from penstock.errors import StateError
from penstock.flow import Checkpoint
from sample_checkpoints import MODEL, SCHEMA, assert_same, checkpoint_of, rows_of, weights_of


@pytest.fixture
def store(tmp_path: Path) -> Iterator[DiskCheckpoints]:
    made = DiskCheckpoints(tmp_path, model=MODEL, schema_digest=SCHEMA, kept=3)
    yield made
    made.close()


def retrained(step: int, epoch: int) -> Checkpoint:
    return checkpoint_of(step, rows_of([1, 5, 9], step, full=True), epoch=epoch)


def leave(tmp_path: Path, step: int, epoch: int) -> Path:
    return hand_over(tmp_path, retrained(step, epoch), weights_of(step))


def save(store: DiskCheckpoints, step: int, epoch: int) -> None:
    store.save(checkpoint_of(step, rows_of([1], step, full=True), epoch=epoch), weights_of(step))


def test_it_can_be_left_while_a_trainer_holds_the_folder_and_is_taken_at_the_next_start(
    store: DiskCheckpoints, tmp_path: Path
) -> None:
    assert store.load_newest() is None
    save(store, 100, epoch=1)
    leave(tmp_path, 7, epoch=2)
    save(store, 101, epoch=1)
    store.close()
    found = store.load_newest()
    assert found is not None
    assert_same(found, retrained(7, 2))
    assert not handover_folder(tmp_path / MODEL).exists()
    save(store, 8, epoch=3)
    again = store.load_newest()
    assert again is not None
    assert again.step == 8, "and goes on from there, whatever the number of steps before"


def test_one_that_was_left_before_the_trainers_own_claim_is_out_of_date_and_removed(
    store: DiskCheckpoints, tmp_path: Path
) -> None:
    leave(tmp_path, 7, epoch=2)
    store.load_newest()
    save(store, 100, epoch=3)
    leave(tmp_path, 9, epoch=3)
    found = store.load_newest()
    assert found is not None
    assert (found.step, found.epoch) == (100, 3)
    assert not handover_folder(tmp_path / MODEL).exists()


def test_the_first_state_of_a_new_folder_may_be_handed_over(store: DiskCheckpoints, tmp_path: Path) -> None:
    leave(tmp_path, 7, epoch=1)
    found = store.load_newest()
    assert found is not None
    assert found.step == 7


def test_a_torn_one_leaves_the_trainers_own(store: DiskCheckpoints, tmp_path: Path) -> None:
    store.load_newest()
    save(store, 100, epoch=1)
    folder = leave(tmp_path, 7, epoch=2)
    (folder / "state.safetensors").write_bytes(b"torn")
    found = store.load_newest()
    assert found is not None
    assert found.step == 100


def test_a_later_one_replaces_an_earlier_one_and_may_be_taken_back(store: DiskCheckpoints, tmp_path: Path) -> None:
    leave(tmp_path, 7, epoch=2)
    leave(tmp_path, 8, epoch=3)
    take_back(tmp_path, MODEL)
    take_back(tmp_path, MODEL)
    assert store.load_newest() is None


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / MODEL).write_text("in the way")
    with pytest.raises(StateError, match="cannot be left in"):
        leave(tmp_path, 7, epoch=2)


def test_classes_that_sleep_come_along(store: DiskCheckpoints, tmp_path: Path) -> None:
    asleep = replace(retrained(7, 2), packets={"one.packet": b"\x00\x01", "other.packet": b"\xff" * 9})
    hand_over(tmp_path, asleep, weights_of(7))
    found = store.load_newest()
    assert found is not None
    assert dict(found.packets) == dict(asleep.packets)
