"""Checkpoints on disk: what is saved is what is loaded, whatever happened in between."""

import errno
import os
import resource
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.adapters.disk.checkpoints import DiskCheckpoints
from penstock.adapters.disk.folder import load_folder
from penstock.adapters.disk.pinning import pin
from penstock.adapters.disk.segments import MAX_SEGMENTS
from penstock.errors import StateError
from sample_checkpoints import (
    CAPACITY,
    MODEL,
    SCHEMA,
    assert_same,
    checkpoint_of,
    rows_by_writer,
    rows_of,
    weights_of,
)


def store_in(directory: Path, *, schema: str = SCHEMA, kept: int = 3) -> DiskCheckpoints:
    return DiskCheckpoints(directory, model=MODEL, schema_digest=schema, kept=kept)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[DiskCheckpoints]:
    store = store_in(tmp_path)
    yield store
    store.close()


def save_full(store: DiskCheckpoints, step: int) -> Path:
    return store.save(checkpoint_of(step, rows_of(range(10), step, full=True)), weights_of(step))


def save_changes(store: DiskCheckpoints, step: int, slots: list[int]) -> Path:
    return store.save(checkpoint_of(step, rows_of(slots, step, full=False)), weights_of(step))


def test_an_empty_folder_has_no_checkpoint(store: DiskCheckpoints) -> None:
    assert store.load_newest() is None
    assert store.wants_full_reservoir()


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.sets(st.integers(0, CAPACITY - 1)), st.booleans()), min_size=1, max_size=12))
def test_any_sequence_of_changed_slots_and_restarts_loads_as_the_whole_reservoir(
    saves: list[tuple[set[int], bool]],
) -> None:
    written: dict[int, int] = {}
    with TemporaryDirectory() as directory:
        store = store_in(Path(directory))
        for step, (slots, restarts) in enumerate(saves, start=1):
            written |= dict.fromkeys(slots, step)
            full = store.wants_full_reservoir()
            rows = rows_by_writer(written, full=True) if full else rows_of(sorted(slots), step, full=False)
            store.save(checkpoint_of(step, rows), weights_of(step))
            if restarts:
                store.close()
                store = store_in(Path(directory))
                assert store.load_newest() is not None
        found = store.load_newest()
        store.close()
    assert found is not None
    assert_same(found, checkpoint_of(len(saves), rows_by_writer(written, full=True)))


def test_loaded_arrays_can_be_written_to(store: DiskCheckpoints) -> None:
    save_full(store, 1)
    found = store.load_newest()
    assert found is not None
    assert all(array.flags.writeable for array in (*found.tensors.values(), *found.reservoir.columns.values()))


def test_the_files_beside_the_state_are_those_that_replicas_read(store: DiskCheckpoints) -> None:
    folder = save_full(store, 1)
    assert (folder / "weights.safetensors").read_bytes() == weights_of(1).content
    assert b'"model": "digits"' in (folder / "model.json").read_bytes()


def test_only_the_newest_are_kept(store: DiskCheckpoints, tmp_path: Path) -> None:
    folders = [save_full(store, 1), *(save_changes(store, step, [step]) for step in range(2, 7))]
    assert sorted((tmp_path / MODEL / "checkpoints").iterdir()) == folders[-3:]


def test_a_checkpoint_writes_what_changed_and_links_the_rest(store: DiskCheckpoints) -> None:
    first, second = save_full(store, 1), save_changes(store, 2, [4])
    shared = next(first.glob("reservoir-*"))
    assert (second / shared.name).samefile(shared)
    added = [path for path in second.glob("reservoir-*") if path.name != shared.name]
    assert len(added) == 1
    assert added[0].stat().st_size < shared.stat().st_size


def test_a_checkpoint_without_changed_slots_adds_no_segment(store: DiskCheckpoints) -> None:
    save_full(store, 1)
    assert len(list(save_changes(store, 2, []).glob("reservoir-*"))) == 1


def test_where_links_are_not_supported_segments_are_copied(
    store: DiskCheckpoints, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(self: Path, target: Path) -> None:
        raise OSError(errno.EOPNOTSUPP, "no links here")

    save_full(store, 1)
    monkeypatch.setattr(Path, "hardlink_to", refused)
    folder = save_changes(store, 2, [4])
    assert all(path.stat().st_nlink == 1 for path in folder.iterdir())
    found = store.load_newest()
    assert found is not None
    assert_same(found, checkpoint_of(2, rows_by_writer(dict.fromkeys(range(10), 1) | {4: 2}, full=True)))


def segments_in(folder: Path) -> list[Path]:
    return sorted(folder.glob("reservoir-*"))


def test_changes_that_outgrow_the_reservoir_become_one_full_segment_with_it(store: DiskCheckpoints) -> None:
    save_full(store, 1)
    save_changes(store, 2, list(range(10)))
    assert len(segments_in(save_changes(store, 3, [1]))) == 3
    assert len(segments_in(save_changes(store, 4, [2]))) == 2
    assert not store.wants_full_reservoir()
    found = store.load_newest()
    assert found is not None
    written = dict.fromkeys(range(10), 2) | {1: 3, 2: 4}
    assert_same(found, checkpoint_of(4, rows_by_writer(written, full=True)))


def test_many_segments_become_two_and_what_they_hold_is_the_same(store: DiskCheckpoints) -> None:
    slots = range(2 * MAX_SEGMENTS)
    store.save(checkpoint_of(1, rows_of(slots, 1, full=True)), weights_of(1))
    counts = [len(segments_in(save_changes(store, step, [step // 2]))) for step in range(2, 2 * MAX_SEGMENTS)]
    assert max(counts) == MAX_SEGMENTS
    assert counts[MAX_SEGMENTS - 1] == 3
    assert not store.wants_full_reservoir()
    found = store.load_newest()
    assert found is not None
    written = dict.fromkeys(slots, 1) | {step // 2: step for step in range(2, 2 * MAX_SEGMENTS)}
    assert_same(found, checkpoint_of(2 * MAX_SEGMENTS - 1, rows_by_writer(written, full=True)))


def test_damaged_segments_are_not_merged_and_the_full_reservoir_is_wanted(store: DiskCheckpoints) -> None:
    folder = save_full(store, 1)
    save_changes(store, 2, list(range(10)))
    folder = save_changes(store, 3, [1])
    damaged = segments_in(folder)[1]
    damaged.write_bytes(damaged.read_bytes()[:-1])
    with pytest.raises(OSError, match=f"cannot be merged: {damaged.name} is not the file that was written"):
        save_changes(store, 4, [2])
    assert store.wants_full_reservoir()


def test_a_full_reservoir_is_wanted_after_a_load(store: DiskCheckpoints) -> None:
    save_full(store, 1)
    store.load_newest()
    assert store.wants_full_reservoir()


def test_changes_that_follow_no_saved_checkpoint_are_refused(store: DiskCheckpoints) -> None:
    with pytest.raises(OSError, match="needs the full reservoir"):
        save_changes(store, 1, [1])


def test_a_failed_save_leaves_nothing_visible_and_the_next_full_one_works(
    store: DiskCheckpoints, tmp_path: Path
) -> None:
    kept = save_full(store, 1)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (300, hard))
    try:
        with pytest.raises(OSError, match="too large"):
            save_changes(store, 2, [3])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert list((tmp_path / MODEL / "checkpoints").iterdir()) == [kept]
    assert store.wants_full_reservoir()
    save_full(store, 3)
    found = store.load_newest()
    assert found is not None
    assert found.step == 3


def test_an_array_the_format_does_not_have_is_refused_by_name(store: DiskCheckpoints) -> None:
    checkpoint = checkpoint_of(1, rows_of([1], 1, full=True))
    with pytest.raises(ValueError, match="'odd' is of type complex128"):
        store.save(
            type(checkpoint)(**vars(checkpoint) | {"tensors": {"odd": rows_of([1], 1, full=True).slots * 1j}}),
            weights_of(1),
        )


def test_what_a_killed_trainer_left_unfinished_is_removed_at_start(tmp_path: Path) -> None:
    home = tmp_path / MODEL
    for leftover in (home / "checkpoints" / ".000-1", home / "incoming", home / "recording"):
        leftover.mkdir(parents=True)
        (leftover / "file").write_bytes(b"half")
    store = store_in(tmp_path)
    assert store.load_newest() is None
    store.close()
    assert sorted(path.name for path in home.rglob("*")) == ["checkpoints", "lock"]


def test_a_checkpoint_put_into_the_incoming_folder_is_taken_in(tmp_path: Path) -> None:
    elsewhere = store_in(tmp_path / "elsewhere")
    saved = pin(save_full(elsewhere, 7), tmp_path / "pins")
    elsewhere.close()
    store = store_in(tmp_path / "here")
    assert store.load_newest() is None
    saved.rename(store.incoming_folder)
    found = store.load_newest()
    assert found is not None
    assert found.step == 7
    save_full(store, 8)
    found = store.load_newest()
    store.close()
    assert found is not None
    assert found.step == 8


def test_a_pinned_checkpoint_survives_pruning_and_older_pins_go(store: DiskCheckpoints, tmp_path: Path) -> None:
    pins = tmp_path / "pins"
    pinned = [pin(save_full(store, step), pins) for step in range(1, 6)]
    assert sorted(pins.iterdir()) == pinned[-2:]
    assert load_folder(pinned[-1]).step == 5
    with pytest.raises(FileNotFoundError):
        pin(tmp_path / MODEL / "checkpoints" / pinned[0].name, pins)
    assert sorted(pins.iterdir()) == pinned[-1:]


def test_a_checkpoint_of_another_feature_schema_stops_the_trainer_naming_both(
    store: DiskCheckpoints, tmp_path: Path
) -> None:
    save_full(store, 1)
    store.close()
    other = store_in(tmp_path, schema="schema-two")
    with pytest.raises(
        StateError, match=r"^state\.directory: .* schema-one, but model\.features gives schema-two; restore"
    ):
        other.load_newest()
    other.close()


def test_a_checkpoint_of_another_model_stops_the_trainer_naming_both(store: DiskCheckpoints, tmp_path: Path) -> None:
    store.save(checkpoint_of(1, rows_of([1], 1, full=True), model="letters"), weights_of(1))
    with pytest.raises(
        StateError, match=r"^state\.directory: .* model 'letters', but model\.name is 'digits'; use another"
    ):
        store.load_newest()


def test_a_file_in_the_way_is_named(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("not a folder")
    with pytest.raises(StateError, match=r"state\.directory: .*/state is a file; checkpoints need a folder"):
        store_in(tmp_path / "state").load_newest()


def test_files_of_others_among_the_checkpoints_are_left_alone(store: DiskCheckpoints, tmp_path: Path) -> None:
    save_full(store, 1)
    store.close()
    stray = tmp_path / MODEL / "checkpoints" / ".DS_Store"
    stray.write_bytes(b"left by a file manager")
    again = store_in(tmp_path)
    newest = again.load_newest()
    again.close()
    assert newest is not None
    assert stray.exists()


def test_a_folder_that_cannot_be_written_is_named() -> None:
    with TemporaryDirectory(dir="/tmp") as directory:
        Path(directory).chmod(0o555)
        if os.geteuid() == 0:  # permissions do not hold for root
            os.seteuid(65534)
        try:
            with pytest.raises(StateError, match=r"state\.directory: .*/digits cannot be used .*: Permission denied"):
                store_in(Path(directory)).load_newest()
        finally:
            os.seteuid(os.getuid())


def test_two_stores_of_one_folder_exclude_each_other_by_name_of_the_holder(
    store: DiskCheckpoints, tmp_path: Path
) -> None:
    store.load_newest()
    second = store_in(tmp_path)
    with pytest.raises(StateError, match=f"in use by another trainer \\(pid {os.getpid()} on "):
        second.load_newest()
    store.close()
    assert second.load_newest() is None
    second.close()
