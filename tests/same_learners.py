"""Whether two learners are one and the same, to the bit."""

import json
from dataclasses import replace

from penstock.flow import Checkpoint
from penstock.learning.learner import Learner


def capture(learner: Learner) -> Checkpoint:
    return learner.capture(epoch=1, version=1, mlflow_run_id=None, full_reservoir=True)[0]


def through_json(checkpoint: Checkpoint) -> Checkpoint:
    """As a file would bring it back: the state as JSON text, the arrays read-only."""
    tensors = {name: array.copy() for name, array in checkpoint.tensors.items()}
    for array in tensors.values():
        array.setflags(write=False)
    return replace(checkpoint, state=json.loads(json.dumps(checkpoint.state)), tensors=tensors)


def assert_same(one: Learner, other: Learner) -> None:
    first, second = capture(one), capture(other)
    assert first.state == second.state
    assert first.tensors.keys() == second.tensors.keys()
    for name, array in first.tensors.items():
        assert array.tobytes() == second.tensors[name].tobytes(), name
    assert first.reservoir.slots.tolist() == second.reservoir.slots.tolist()
    for name, array in first.reservoir.columns.items():
        assert array.tobytes() == second.reservoir.columns[name].tobytes(), name
    assert (first.step, first.events_learnt, first.offsets, first.trained_until_ms) == (
        second.step,
        second.events_learnt,
        second.offsets,
        second.trained_until_ms,
    )
