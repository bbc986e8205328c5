"""Checkpoints and weights files made up for tests: small, and a function of the step, so they can be recognised."""

import json
from collections.abc import Sequence

import numpy as np
import safetensors.numpy

from penstock.flow import AcceptedLoss, Array, Checkpoint, LabelLog, Offsets, SlotChanges, Weights

MODEL = "digits"
SCHEMA = "schema-one"
CAPACITY = 40
WIDTH = 6
LOSSES = (
    AcceptedLoss(partition=3, wanted=5, resumed_at=80, reason="retention", num_events=75, accepted_at_ms=1),
    AcceptedLoss(partition=0, wanted=9, resumed_at=0, reason="made-anew", num_events=None, accepted_at_ms=2),
)


def weights_of(step: int, *, size: int = 16) -> Weights:
    """A weights file with a card, different for every step."""
    tensors = {"head.weight": np.full(size, step, dtype=np.float32)}
    content = safetensors.numpy.save(tensors, metadata={"penstock": json.dumps({"model": MODEL, "step": step})})
    return Weights(content, class_ledger_digest="ledger")


def rows_of(slots: Sequence[int], step: int, *, full: bool) -> SlotChanges:
    """These slots as a step wrote them; every column shows slot and step."""
    index = np.asarray(slots, dtype=np.int64)
    columns = {
        "features": (index[:, None] * 1000 + step + np.arange(WIDTH) / 10).astype(np.float32),
        "class": index % 10,
        "priority": (index.astype(np.uint64) << np.uint64(32)) + np.uint64(step),
        "fresh": (index + step) % 2 == 0,
    }
    return SlotChanges(full=full, slots=index, columns=columns)


def touched(step: int) -> list[int]:
    """The slots that step `step` of the writing loop changes."""
    return sorted({(step * 7 + position * 3) % CAPACITY for position in range(5)})


def all_touched(step: int) -> dict[int, int]:
    """Slot to the step that wrote it last, after all steps from 1 to `step`."""
    return {slot: earlier for earlier in range(1, step + 1) for slot in touched(earlier)}


def rows_by_writer(written: dict[int, int], *, full: bool) -> SlotChanges:
    """The rows of a whole reservoir, slot by slot as its last writer left them."""
    slots = sorted(written)
    parts = [rows_of([slot], written[slot], full=full) for slot in slots]
    empty = rows_of([], 0, full=full)
    columns = {
        name: np.concatenate([empty.columns[name], *(part.columns[name] for part in parts)]) for name in empty.columns
    }
    return SlotChanges(full=full, slots=np.asarray(slots, dtype=np.int64), columns=columns)


def checkpoint_of(
    step: int,
    reservoir: SlotChanges,
    *,
    model: str = MODEL,
    schema: str = SCHEMA,
    epoch: int = 1,
    run_id: str | None = None,
) -> Checkpoint:
    """A checkpoint after `step` steps; its state holds what JSON easily spoils."""
    return Checkpoint(
        model=model,
        schema_digest=schema,
        epoch=epoch,
        version=step,
        step=step,
        events_learnt=step * 5,
        offsets=Offsets(next={0: step, 3: step * 2}),
        trained_until_ms=1_700_000_000_000 + step,
        tensors={
            "model.weight": np.arange(12, dtype=np.float32).reshape(3, 4) * step,
            "optimizer.exp_avg": np.asfortranarray(np.arange(6, dtype=np.float64).reshape(2, 3)) + step,
            "optimizer.step": np.asarray(step, dtype=np.int64),
            "generator": np.frombuffer(b"state%d" % (step % 10), dtype=np.uint8),
            "nothing": np.zeros((0, 4), dtype=np.float16),
        },
        state={"classes": ["0", "é", "日"], "generator": 2**127 + step, "loss": 0.1 + step, "worst": float("inf")},
        reservoir=reservoir,
        mlflow_run_id=run_id,
        label_log=LabelLog(topic_id="cGZ5hXGDRCKfZZylHzTFsQ", losses=LOSSES),
    )


def assert_same(found: Checkpoint, expected: Checkpoint) -> None:
    """Field by field, arrays bit by bit with their types."""
    for name in (field for field in vars(expected) if field not in ("tensors", "reservoir")):
        assert getattr(found, name) == getattr(expected, name), name
    _assert_same_arrays(dict(found.tensors), dict(expected.tensors))
    assert found.reservoir.full
    _assert_same_arrays(
        {"slots": found.reservoir.slots, **found.reservoir.columns},
        {"slots": expected.reservoir.slots, **expected.reservoir.columns},
    )


def _assert_same_arrays(found: dict[str, Array], expected: dict[str, Array]) -> None:
    assert found.keys() == expected.keys()
    for name, array in expected.items():
        assert found[name].dtype == array.dtype, name
        assert found[name].shape == array.shape, name
        assert found[name].tobytes() == array.tobytes(), name
