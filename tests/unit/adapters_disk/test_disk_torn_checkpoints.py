"""Torn and altered checkpoints: found out, said, and passed over for the one before."""

from pathlib import Path

import pytest
import structlog
from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.adapters.disk.checkpoints import DiskCheckpoints
from penstock.adapters.disk.folder import load_folder
from penstock.adapters.disk.manifest import TornCheckpointError
from sample_checkpoints import MODEL, SCHEMA, checkpoint_of, rows_of, weights_of

FILES = ("checkpoint.json", "state.safetensors", "weights.safetensors", "model.json", "reservoir")


@pytest.fixture(scope="module")
def two_saved(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A state folder with two checkpoints that share no file, and the folder of the newest."""
    directory = tmp_path_factory.mktemp("state")
    for step in (1, 2):
        store = DiskCheckpoints(directory, model=MODEL, schema_digest=SCHEMA, kept=3)
        store.load_newest()
        folder = store.save(checkpoint_of(step, rows_of([1, 2, 3], step, full=True)), weights_of(step))
        store.close()
    return directory, folder


def file_named(folder: Path, name: str) -> Path:
    return next(path for path in folder.iterdir() if path.name.startswith(name))


def assert_passed_over(directory: Path, newest: Path) -> None:
    store = DiskCheckpoints(directory, model=MODEL, schema_digest=SCHEMA, kept=3)
    try:
        with structlog.testing.capture_logs() as logs:
            found = store.load_newest()
    finally:
        store.close()
    assert found is not None
    assert found.step == 1
    assert [(line["log_level"], line["folder"]) for line in logs] == [("warning", str(newest))]
    assert logs[0]["wrong"]


@pytest.mark.parametrize("name", FILES)
@settings(max_examples=25, deadline=None)
@given(share=st.floats(0, 1, exclude_max=True))
def test_a_file_cut_at_any_byte_passes_to_the_checkpoint_before(
    two_saved: tuple[Path, Path], name: str, share: float
) -> None:
    directory, newest = two_saved
    file = file_named(newest, name)
    whole = file.read_bytes()
    try:
        file.write_bytes(whole[: int(share * len(whole))])
        assert_passed_over(directory, newest)
    finally:
        file.write_bytes(whole)
    assert load_folder(newest).step == 2


@pytest.mark.parametrize("name", FILES)
@settings(max_examples=60, deadline=None)
@given(share=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
def test_any_flipped_bit_is_found_out(two_saved: tuple[Path, Path], name: str, share: float, bit: int) -> None:
    _, newest = two_saved
    file = file_named(newest, name)
    whole = file.read_bytes()
    altered = bytearray(whole)
    altered[int(share * len(whole))] ^= 1 << bit
    try:
        file.write_bytes(altered)
        with pytest.raises(TornCheckpointError):
            load_folder(newest)
    finally:
        file.write_bytes(whole)


def test_every_flipped_bit_of_the_manifest_is_found_out(two_saved: tuple[Path, Path]) -> None:
    _, newest = two_saved
    file = file_named(newest, "checkpoint.json")
    whole = file.read_bytes()
    try:
        for position in range(len(whole)):
            altered = bytearray(whole)
            altered[position] ^= 1 << position % 8
            file.write_bytes(altered)
            with pytest.raises(TornCheckpointError):
                load_folder(newest)
    finally:
        file.write_bytes(whole)


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_passes_to_the_checkpoint_before(two_saved: tuple[Path, Path], name: str) -> None:
    directory, newest = two_saved
    file = file_named(newest, name)
    aside = newest.parent.parent / "aside"
    file.rename(aside)
    try:
        assert_passed_over(directory, newest)
    finally:
        aside.rename(file)


def test_a_torn_checkpoint_is_removed_once_a_whole_one_follows(tmp_path: Path) -> None:
    store = DiskCheckpoints(tmp_path, model=MODEL, schema_digest=SCHEMA, kept=2)
    for step in (5, 6):
        store.load_newest()
        torn = store.save(checkpoint_of(step, rows_of([1], step, full=True)), weights_of(step))
    (torn / "state.safetensors").write_bytes(b"")
    found = store.load_newest()
    assert found is not None
    assert found.step == 5
    again = store.save(checkpoint_of(6, rows_of([1], 6, full=True), epoch=2), weights_of(6))
    assert not torn.exists()
    assert len(list(again.parent.iterdir())) == 2
    found = store.load_newest()
    store.close()
    assert found is not None
    assert (found.step, found.epoch) == (6, 2)


def test_segments_that_do_not_fit_together_are_found_out(tmp_path: Path) -> None:
    store = DiskCheckpoints(tmp_path, model=MODEL, schema_digest=SCHEMA, kept=2)
    store.save(checkpoint_of(1, rows_of([1, 2], 1, full=True)), weights_of(1))
    narrow = rows_of([1], 2, full=False)
    columns = {**narrow.columns, "features": narrow.columns["features"][:, :2]}
    folder = store.save(checkpoint_of(2, type(narrow)(full=False, slots=narrow.slots, columns=columns)), weights_of(2))
    store.close()
    with pytest.raises(TornCheckpointError, match=r"column\.features is of another type or width"):
        load_folder(folder)
