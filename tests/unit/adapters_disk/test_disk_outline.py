"""A checkpoint is looked at from outside without disturbing its trainer, and only where it is asked for."""

from pathlib import Path

import numpy as np
import pytest

from penstock.adapters.disk.checkpoints import DiskCheckpoints
from penstock.adapters.disk.manifest import MANIFEST, TornCheckpointError
from penstock.adapters.disk.outline import newest_outline, outline
from sample_checkpoints import MODEL, SCHEMA, all_touched, checkpoint_of, rows_by_writer, rows_of, touched, weights_of


@pytest.fixture
def store(tmp_path: Path) -> DiskCheckpoints:
    """With four checkpoints of one chain of segments, and still locked."""
    store = DiskCheckpoints(tmp_path, model=MODEL, schema_digest=SCHEMA, kept=3)
    for step in range(1, 5):
        store.save(checkpoint_of(step, rows_of(touched(step), step, full=step == 1)), weights_of(step))
    return store


def test_it_is_the_newest_checkpoint_with_what_was_asked_for_and_nothing_else(
    store: DiskCheckpoints, tmp_path: Path
) -> None:
    found = newest_outline(tmp_path, MODEL, tensors=("optimizer.", "generator"), columns=("class",))
    expected = checkpoint_of(4, rows_by_writer(all_touched(4), full=True))
    assert found is not None
    assert (found.step, found.state, found.offsets) == (4, expected.state, expected.offsets)
    assert found.tensors.keys() == {"optimizer.exp_avg", "optimizer.step", "generator"}
    for name, tensor in found.tensors.items():
        assert np.array_equal(tensor, expected.tensors[name]), name
    assert found.reservoir.columns.keys() == {"class"}
    assert found.reservoir.slots.tolist() == expected.reservoir.slots.tolist()
    assert found.reservoir.columns["class"].tolist() == expected.reservoir.columns["class"].tolist()


def test_the_trainer_keeps_its_lock_and_goes_on(store: DiskCheckpoints, tmp_path: Path) -> None:
    before = sorted(path.name for path in (tmp_path / MODEL).rglob("*"))
    assert newest_outline(tmp_path, MODEL, tensors=(), columns=("class",)) is not None
    assert sorted(path.name for path in (tmp_path / MODEL).rglob("*")) == before
    store.save(checkpoint_of(5, rows_of(touched(5), 5, full=False)), weights_of(5))


def test_a_torn_newest_one_is_passed_over(store: DiskCheckpoints, tmp_path: Path) -> None:
    newest = sorted((tmp_path / MODEL / "checkpoints").iterdir())[-1]
    (newest / MANIFEST).write_bytes(b"{}")
    found = newest_outline(tmp_path, MODEL, tensors=(), columns=("class",))
    assert found is not None
    assert found.step == 3


def test_where_there_is_none_there_is_none(tmp_path: Path) -> None:
    assert newest_outline(tmp_path / "nowhere", MODEL, tensors=(), columns=()) is None
    assert list(tmp_path.iterdir()) == []


def test_a_column_that_is_not_there_is_an_error(store: DiskCheckpoints, tmp_path: Path) -> None:
    newest = sorted((tmp_path / MODEL / "checkpoints").iterdir())[-1]
    with pytest.raises(TornCheckpointError, match=r"lacks column\.elsewhere"):
        outline(newest, tensors=(), columns=("elsewhere",))
