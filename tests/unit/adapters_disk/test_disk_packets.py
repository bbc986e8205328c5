"""Packets of sleeping classes are inside every checkpoint, and beside them as files of their own."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from penstock.adapters.disk.checkpoints import DiskCheckpoints
from penstock.adapters.disk.folder import load_folder
from penstock.adapters.disk.reading import read_newest
from sample_checkpoints import MODEL, SCHEMA, assert_same, checkpoint_of, rows_of, weights_of

ONE, TWO = {"000001-a.safetensors": b"packet of a"}, {"000002-b%2F.safetensors": b"\x00packet of b"}


@pytest.fixture
def store(tmp_path: Path) -> Iterator[DiskCheckpoints]:
    store = DiskCheckpoints(tmp_path, model=MODEL, schema_digest=SCHEMA, kept=2)
    yield store
    store.close()


def save(store: DiskCheckpoints, step: int, packets: dict[str, bytes]) -> Path:
    checkpoint = replace(checkpoint_of(step, rows_of(range(4), step, full=True)), packets=packets)
    folder = store.save(checkpoint, weights_of(step))
    assert_same(load_folder(folder), checkpoint)
    return folder


def files_beside(tmp_path: Path) -> dict[str, bytes]:
    folder = tmp_path / MODEL / "packets"
    return {path.name: path.read_bytes() for path in folder.iterdir()} if folder.exists() else {}


def packet_files(folder: Path) -> list[Path]:
    return sorted(folder.glob("packets-*"))


def test_what_sleeps_is_in_the_checkpoint_and_beside_it_until_it_wakes(store: DiskCheckpoints, tmp_path: Path) -> None:
    assert packet_files(save(store, 1, {})) == []
    for step, packets in enumerate((ONE, ONE | TWO, {**TWO, **dict.fromkeys(ONE, b"changed")}, TWO, {}), start=2):
        save(store, step, packets)
        assert files_beside(tmp_path) == packets


def test_what_a_trainer_killed_behind_its_checkpoint_left_undone_is_done_by_the_next(
    store: DiskCheckpoints, tmp_path: Path
) -> None:
    save(store, 1, ONE)
    save(store, 2, TWO)
    beside = tmp_path / MODEL / "packets"
    (*_, there) = beside.iterdir()
    there.rename(beside / f".{there.name}")
    (beside / "000001-a.safetensors").write_bytes(b"awake by now")
    store.close()
    next_trainer = DiskCheckpoints(tmp_path, model=MODEL, schema_digest=SCHEMA, kept=2)
    assert next_trainer.load_newest() is not None
    next_trainer.close()
    assert files_beside(tmp_path) == TWO


def test_while_the_same_classes_sleep_the_file_is_linked_not_written_again(store: DiskCheckpoints) -> None:
    folders = [save(store, step, packets) for step, packets in ((1, ONE), (2, dict(ONE)), (3, ONE | TWO))]
    (second,), (third,) = packet_files(folders[1]), packet_files(folders[2])
    assert second.name == "packets-00000001.safetensors"
    assert second.stat().st_nlink == 1, "the first checkpoint is pruned by now"
    assert third.name == "packets-00000003.safetensors"
    for step in range(4, 9):
        (file,) = packet_files(save(store, step, ONE | TWO))
        assert file.name == third.name
        assert file.stat().st_nlink == 2


def test_a_checkpoint_whose_packets_are_damaged_is_passed_over(store: DiskCheckpoints) -> None:
    save(store, 1, ONE)
    (file,) = packet_files(save(store, 2, ONE | TWO))
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    found = store.load_newest()
    assert found is not None
    assert (found.step, found.packets) == (1, ONE)


def test_a_folder_that_cannot_be_written_costs_no_checkpoint(store: DiskCheckpoints, tmp_path: Path) -> None:
    home = tmp_path / MODEL
    save(store, 1, {})
    (home / "packets").write_text("a file in the way")
    save(store, 2, ONE)
    (home / "packets").unlink()
    save(store, 3, ONE)
    assert files_beside(tmp_path) == ONE


def test_the_newest_checkpoint_is_read_from_beside_its_writer(store: DiskCheckpoints, tmp_path: Path) -> None:
    assert read_newest(tmp_path, MODEL) is None
    assert read_newest(tmp_path / "nowhere", MODEL) is None
    save(store, 1, ONE)
    newest = save(store, 2, TWO)
    found = read_newest(tmp_path, MODEL)
    assert found is not None
    assert (found.step, found.packets) == (2, TWO)
    (newest / "state.safetensors").unlink()
    found = read_newest(tmp_path, MODEL)
    assert found is not None
    assert found.step == 1
