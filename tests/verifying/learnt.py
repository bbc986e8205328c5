"""I1 and I2: what the newest checkpoint has learnt, event by event; and all of its state as one digest.

For I1 the reservoir must be able to hold every event that was produced: each of its rows carries a hash of the place of
its event, one to one, so that the rows say which events have been learnt; the count says that none was learnt twice.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np

from penstock.adapters.disk.checkpoints import model_folder, whole_folders
from penstock.adapters.disk.folder import load_folder
from penstock.adapters.disk.manifest import TornCheckpointError
from penstock.adapters.kafka.topic_names import TopicNames
from penstock.flow import Array, Checkpoint
from penstock.replay.priority import EventPriorities
from verifying.topics import Place

ATTEMPTS = 5
"""The folder that is the newest now may be pruned before it is read."""
EMPTY = -1


def newest_checkpoint(state: Path, model: str) -> Checkpoint | None:
    """The newest under a state directory, every file held against its digest; None if there is none."""
    for _ in range(ATTEMPTS):
        folders = whole_folders(model_folder(state, model))
        for folder in reversed(folders):
            try:
                return load_folder(folder)
            except (TornCheckpointError, OSError):
                continue
        if not folders:
            return None
    return None


def assert_learnt_exactly(state: Path, model: str, expected: Iterable[Place], dead_lettered: Iterable[Place]) -> None:
    """I1: the newest checkpoint has learnt each of `expected` once, and has passed by nothing but `dead_lettered`."""
    checkpoint = newest_checkpoint(state, model)
    assert checkpoint is not None, f"there is no checkpoint of {model} in {state}"
    places, dead = sorted(set(expected)), set(dead_lettered)
    learnt = _priorities(checkpoint)
    topic = TopicNames(model).labels
    missing = [place for place in places if _priority(topic, place) not in learnt]
    assert not missing, f"{len(missing)} events were never learnt, the first at {missing[0]} (partition, offset)"
    strangers = len(learnt) - len(places)
    assert not strangers, f"the checkpoint holds {strangers} events more than were produced"
    assert checkpoint.events_learnt == len(places), (
        f"{checkpoint.events_learnt} events were learnt of {len(places)}: some more than once, or in vain"
    )
    behind = {place for place in {*places, *dead} if checkpoint.offsets[place[0]] <= place[1]}
    assert not behind, f"the offsets of the newest checkpoint stand before {min(behind)}, which it has learnt"


def assert_count_learnt(state: Path, model: str, expected: int) -> None:
    """The count of I1 alone, where the reservoir cannot hold every event."""
    checkpoint = newest_checkpoint(state, model)
    assert checkpoint is not None, f"there is no checkpoint of {model} in {state}"
    assert checkpoint.events_learnt == expected, f"{checkpoint.events_learnt} events were learnt of {expected}"


def state_digest(state: Path, model: str) -> str:
    """I2: sha256 over weights, optimizer, reservoir, class ledger and all else that training goes on from.

    Epoch, version and MLflow run are left out: they count starts and announcements, and change nothing that is learnt.
    """
    checkpoint = newest_checkpoint(state, model)
    assert checkpoint is not None, f"there is no checkpoint of {model} in {state}"
    digest = hashlib.sha256()
    scalars = {
        "step": checkpoint.step,
        "events_learnt": checkpoint.events_learnt,
        "offsets": checkpoint.offsets.to_json(),
        "trained_until_ms": checkpoint.trained_until_ms,
        "state": dict(checkpoint.state),
        "packets": {name: hashlib.sha256(packet).hexdigest() for name, packet in checkpoint.packets.items()},
    }
    digest.update(json.dumps(scalars, sort_keys=True).encode())
    _digest_arrays(digest, checkpoint.tensors)
    used = checkpoint.reservoir.columns["class_index"] != EMPTY
    slots = {"slots": checkpoint.reservoir.slots[used]}
    _digest_arrays(digest, slots | {name: column[used] for name, column in checkpoint.reservoir.columns.items()})
    return digest.hexdigest()


def assert_same_state(one: Path, other: Path, model: str) -> None:
    """I2: both state directories end in the same state, bit for bit; says where they differ."""
    if state_digest(one, model) == state_digest(other, model):
        return
    first, second = newest_checkpoint(one, model), newest_checkpoint(other, model)
    assert first is not None
    assert second is not None
    for what in ("offsets", "step", "events_learnt", "trained_until_ms", "packets"):
        assert getattr(first, what) == getattr(second, what), (
            f"{what} is {getattr(first, what)} and {getattr(second, what)}"
        )
    differing = [name for name in first.tensors if not _same(first.tensors[name], second.tensors.get(name))]
    differing += [name for name in first.state if first.state[name] != second.state.get(name)]
    raise AssertionError(f"the two runs end in different states: {', '.join(differing) or 'the reservoir'}")


def _same(one: Array, other: Array | None) -> bool:
    return other is not None and one.dtype == other.dtype and one.tobytes() == other.tobytes()


def _digest_arrays(digest: "hashlib._Hash", arrays: Mapping[str, Array]) -> None:
    for name, array in sorted(arrays.items()):
        digest.update(f"{name} {array.dtype} {array.shape}".encode())
        digest.update(np.ascontiguousarray(array).tobytes())


def _priorities(checkpoint: Checkpoint) -> set[int]:
    """Of the events whose rows the reservoir holds."""
    columns = checkpoint.reservoir.columns
    return set(columns["priority"][columns["class_index"] != EMPTY].tolist())


def _priority(topic: str, place: Place) -> int:
    partition, offset = place
    found = EventPriorities(topic).at(
        np.array([partition], np.int32), np.array([offset], np.int64), np.array([0], np.int32)
    )
    return int(found[0])
