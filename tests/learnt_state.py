"""What a trainer has learnt, as its checkpoints say."""

import hashlib
import json
from pathlib import Path
from typing import Any

from penstock.adapters.disk.outline import newest_outline


def newest_checkpoint(directory: Path, model: str) -> dict[str, object] | None:
    """The newest whole checkpoint's `checkpoint.json`, with the sha256 of its weights."""
    folders = sorted((directory / model / "checkpoints").glob("[0-9]*"))
    for folder in reversed(folders):
        try:
            manifest = json.loads((folder / "checkpoint.json").read_text())["checkpoint"]
            weights = (folder / "weights.safetensors").read_bytes()
        except FileNotFoundError:  # pruned while we looked
            continue
        return dict(manifest) | {"weights_sha256": hashlib.sha256(weights).hexdigest()}
    return None


def learnt(directory: Path, model: str) -> int:
    found = newest_checkpoint(directory, model)
    return int(str(found["events_learnt"])) if found else 0


def passed(directory: Path, model: str) -> int:
    """How many messages the newest checkpoint has behind it."""
    found = newest_outline(directory, model, tensors=(), columns=())
    return sum(found.offsets.next.values()) if found else 0


def same_end(one: Path, other: Path, model: str) -> bool:
    """Both runs end at the same offsets, step and weights, and have seen the same drift."""
    first, second = newest_checkpoint(one, model), newest_checkpoint(other, model)
    assert first is not None
    assert second is not None
    for key in ("offsets", "step", "events_learnt", "weights_sha256"):
        assert first[key] == second[key], key
    assert watched(one, model) == watched(other, model)
    return True


def watched(directory: Path, model: str) -> dict[str, Any]:
    """What the newest checkpoint says of scores, drift and alarms."""
    found = newest_checkpoint(directory, model)
    assert found is not None
    state: dict[str, Any] = found["state"]["watch"]  # type: ignore[index]  # as checkpoints have it
    return state
