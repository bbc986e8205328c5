"""A large tensor is on the disk once for as long as it does not change, and every checkpoint is whole all the same."""

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from penstock.adapters.disk.checkpoints import DiskCheckpoints
from penstock.adapters.disk.folder import load_folder
from penstock.adapters.disk.large_tensors import LARGE_BYTES
from penstock.adapters.disk.manifest import MOST_WEIGHTS_BYTES, TornCheckpointError
from penstock.adapters.disk.outline import outline
from penstock.adapters.mlflow.archive import pack, unpack
from penstock.flow import Checkpoint
from sample_checkpoints import MODEL, SCHEMA, assert_same, checkpoint_of, rows_of, weights_of

FROZEN, SLOW = "model.frozen", "model.slow"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[DiskCheckpoints]:
    store = DiskCheckpoints(tmp_path, model=MODEL, schema_digest=SCHEMA, kept=2)
    yield store
    store.close()


def large_at(step: int, *, slow: float = 0.0) -> Checkpoint:
    """A checkpoint with two large tensors, of which a step changes at most one value of the second."""
    values = np.arange(LARGE_BYTES // 4, dtype=np.float32)
    slow_values = values.reshape(-1, 64).copy()
    slow_values[7, 9] += slow  # not one of those that are sampled
    rows = rows_of([1, 2], step, full=True)
    checkpoint = checkpoint_of(step, rows)
    return replace(checkpoint, tensors={**checkpoint.tensors, FROZEN: values, SLOW: slow_values})


def test_a_tensor_that_has_not_changed_is_linked(store: DiskCheckpoints) -> None:
    first = store.save(large_at(1), weights_of(1))
    second = store.save(large_at(2, slow=0.5), weights_of(2))
    names = {path.name for path in first.glob("tensor-*")}
    linked = {path.name for path in second.glob("tensor-*")} & names
    assert len(names) == 2
    assert len(linked) == 1
    assert (second / linked.pop()).samefile(first / min(names))
    assert_same(load_folder(first), large_at(1))
    assert_same(load_folder(second), large_at(2, slow=0.5))


def test_what_an_older_checkpoint_wrote_outlives_it(store: DiskCheckpoints) -> None:
    first = store.save(large_at(1), weights_of(1))
    for step in range(2, 6):
        store.save(large_at(step), weights_of(step))
    assert not first.exists()
    found = store.load_newest()
    assert found is not None
    assert_same(found, large_at(5))


def test_a_tensor_is_written_again_where_the_checkpoint_before_is_gone(store: DiskCheckpoints) -> None:
    shutil.rmtree(store.save(large_at(1), weights_of(1)))
    with pytest.raises(FileNotFoundError):
        store.save(large_at(2), weights_of(2))
    store.save(large_at(3), weights_of(3))
    found = store.load_newest()
    assert found is not None
    assert_same(found, large_at(3))


def test_a_checkpoint_that_was_uploaded_comes_back_with_them(store: DiskCheckpoints, tmp_path: Path) -> None:
    """Half of its files are links to those of older checkpoints."""
    store.save(large_at(1), weights_of(1))
    pack(store.save(large_at(2, slow=0.5), weights_of(2)), tmp_path / "archive")
    elsewhere = DiskCheckpoints(tmp_path / "elsewhere", model=MODEL, schema_digest=SCHEMA, kept=2)
    assert elsewhere.load_newest() is None
    unpack(tmp_path / "archive", elsewhere.incoming_folder)
    found = elsewhere.load_newest()
    elsewhere.close()
    assert found is not None
    assert_same(found, large_at(2, slow=0.5))


def test_a_flipped_byte_in_it_is_found(store: DiskCheckpoints) -> None:
    folder = store.save(large_at(1), weights_of(1))
    file = min(folder.glob("tensor-*"))
    content = bytearray(file.read_bytes())
    content[-5] ^= 1
    file.write_bytes(content)
    with pytest.raises(TornCheckpointError, match="is not the file that was written"):
        load_folder(folder)


def test_an_outline_finds_large_ones_too(store: DiskCheckpoints) -> None:
    found = outline(store.save(large_at(1), weights_of(1)), tensors=(FROZEN,), columns=())
    assert np.array_equal(found.tensors[FROZEN], large_at(1).tensors[FROZEN])
    assert set(found.tensors) == {FROZEN}


@pytest.mark.parametrize(("size_bytes", "is_kept"), [(MOST_WEIGHTS_BYTES // 2, True), (MOST_WEIGHTS_BYTES, False)])
def test_a_large_weights_file_is_not_kept_beside_the_state(
    store: DiskCheckpoints, size_bytes: int, is_kept: bool
) -> None:
    """By the size of the tensor in it; its header comes on top."""
    folder = store.save(large_at(1), weights_of(1, size=size_bytes // 4))
    assert (folder / "weights.safetensors").exists() == is_kept
    assert (folder / "model.json").exists()
    assert_same(load_folder(folder), large_at(1))
