"""What a checkpoint leaves to a disk that loses its power: everything is fsynced before its name can be seen."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from penstock.adapters.disk.checkpoints import DiskCheckpoints
from sample_checkpoints import MODEL, SCHEMA, checkpoint_of, rows_of, weights_of


class DiskEvents:
    """What was fsynced, by inode, and what was renamed, in order; both happen all the same."""

    def __init__(self, patched: pytest.MonkeyPatch) -> None:
        self.all: list[tuple[str, int]] = []
        self._fsync, self._rename = os.fsync, os.rename
        patched.setattr(os, "fsync", self._sync)
        patched.setattr(os, "rename", self._move)

    def _sync(self, descriptor: int) -> None:
        self._fsync(descriptor)
        self.all.append(("fsync", os.fstat(descriptor).st_ino))

    def _move(self, source: str | Path, target: str | Path) -> None:
        self.all.append(("rename", Path(source).stat().st_ino))
        self._rename(source, target)

    def synced_before_its_rename(self, folder: Path) -> set[int]:
        """Inodes fsynced until the folder got its name."""
        renamed = self.all.index(("rename", folder.stat().st_ino))
        return {inode for what, inode in self.all[:renamed] if what == "fsync"}

    def synced_after_its_rename(self, folder: Path) -> set[int]:
        """Inodes fsynced since."""
        renamed = self.all.index(("rename", folder.stat().st_ino))
        return {inode for what, inode in self.all[renamed:] if what == "fsync"}


@pytest.fixture
def events(monkeypatch: pytest.MonkeyPatch) -> DiskEvents:
    return DiskEvents(monkeypatch)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[DiskCheckpoints]:
    store = DiskCheckpoints(tmp_path / "state", model=MODEL, schema_digest=SCHEMA, kept=3)
    yield store
    store.close()


def test_files_and_folder_are_on_the_disk_before_the_name_and_the_name_before_save_returns(
    store: DiskCheckpoints, events: DiskEvents
) -> None:
    full = store.save(checkpoint_of(1, rows_of(range(10), 1, full=True)), weights_of(1))
    changed = store.save(checkpoint_of(2, rows_of([4], 2, full=False)), weights_of(2))
    for folder in (full, changed):
        assert len(list(folder.iterdir())) >= 5
        must_be_there = {path.stat().st_ino for path in (folder, *folder.iterdir())}
        assert must_be_there <= events.synced_before_its_rename(folder)
        assert folder.parent.stat().st_ino in events.synced_after_its_rename(folder)


def test_a_copied_segment_is_on_the_disk_as_well(
    store: DiskCheckpoints, events: DiskEvents, monkeypatch: pytest.MonkeyPatch
) -> None:
    def without_links(_target: Path, _source: Path) -> None:
        raise OSError("this file system has no hard links")

    store.save(checkpoint_of(1, rows_of(range(10), 1, full=True)), weights_of(1))
    monkeypatch.setattr(Path, "hardlink_to", without_links)
    copied = store.save(checkpoint_of(2, rows_of([4], 2, full=False)), weights_of(2))
    assert {path.stat().st_ino for path in copied.iterdir()} <= events.synced_before_its_rename(copied)


def test_the_folders_made_at_first_last(store: DiskCheckpoints, events: DiskEvents, tmp_path: Path) -> None:
    store.save(checkpoint_of(1, rows_of(range(10), 1, full=True)), weights_of(1))
    synced = {inode for what, inode in events.all if what == "fsync"}
    assert {folder.stat().st_ino for folder in (tmp_path, tmp_path / "state", tmp_path / "state" / MODEL)} <= synced
