"""`checkpoint.json`: what a checkpoint folder must hold, and everything of the checkpoint that is not an array.

The file carries the sha256 of its own content, as `{"sha256":"…","checkpoint":{…}}`; changing any byte of it shows.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from penstock.adapters.disk.files import FileDigest
from penstock.flow import Checkpoint, LabelLog, Offsets, SlotChanges

MANIFEST = "checkpoint.json"
STATE = "state.safetensors"
WEIGHTS = "weights.safetensors"
MODEL_CARD = "model.json"
MOST_WEIGHTS_BYTES = 16 << 20
"""A larger weights file is not kept beside the state, which holds every tensor of it."""
FORMAT = 1

_BEFORE, _BETWEEN, _AFTER = b'{"sha256":"', b'","checkpoint":', b"}\n"
_DIGEST_LENGTH = 64


class TornCheckpointError(ValueError):
    """A checkpoint folder is not whole; its text says what is wrong."""


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """The parsed file: `files` lists every other file, `segments` the reservoir's, oldest first."""

    checkpoint: Mapping[str, Any]
    files: Mapping[str, FileDigest]
    segments: tuple[str, ...]

    @classmethod
    def of(cls, checkpoint: Checkpoint, files: Mapping[str, FileDigest], segments: tuple[str, ...]) -> "Manifest":
        """For these files, written for this checkpoint."""
        scalars = {
            "model": checkpoint.model,
            "schema_digest": checkpoint.schema_digest,
            "epoch": checkpoint.epoch,
            "version": checkpoint.version,
            "step": checkpoint.step,
            "events_learnt": checkpoint.events_learnt,
            "offsets": checkpoint.offsets.to_json(),
            "trained_until_ms": checkpoint.trained_until_ms,
            "mlflow_run_id": checkpoint.mlflow_run_id,
            "label_log": checkpoint.label_log.to_json(),
            "state": dict(checkpoint.state),
        }
        return cls(checkpoint=scalars, files=files, segments=segments)

    def to_bytes(self) -> bytes:
        """The file's content. Integers of any size and non-finite numbers survive (generators need both)."""
        tree = {
            "format": FORMAT,
            **self.checkpoint,
            "files": {name: vars(digest) for name, digest in self.files.items()},
            "reservoir_segments": list(self.segments),
        }
        return _sealed(json.dumps(tree, separators=(",", ":")).encode())

    @classmethod
    def from_bytes(cls, content: bytes) -> "Manifest":
        """The inverse of `to_bytes`.

        Raises:
            TornCheckpointError: any byte differs from what was written.
        """
        start = len(_BEFORE) + _DIGEST_LENGTH + len(_BETWEEN)
        inner = content[start : -len(_AFTER)]
        if content != _sealed(inner):
            raise TornCheckpointError(f"{MANIFEST} does not match its own sha256")
        tree = json.loads(inner)
        if tree.pop("format") != FORMAT:
            raise TornCheckpointError(f"{MANIFEST} is of another format than {FORMAT}")
        files = {name: FileDigest(**digest) for name, digest in tree.pop("files").items()}
        segments = tuple(tree.pop("reservoir_segments"))
        return cls(checkpoint=tree, files=files, segments=segments)

    def restored(self, tensors: Mapping[str, Any], reservoir: SlotChanges, packets: Mapping[str, bytes]) -> Checkpoint:
        """The checkpoint, with what was read from the other files."""
        scalars = {**self.checkpoint, "offsets": Offsets.from_json(self.checkpoint["offsets"])}
        if "label_log" in scalars:  # not in checkpoints of before it was kept
            scalars["label_log"] = LabelLog.from_json(scalars["label_log"])
        return Checkpoint(**scalars, tensors=tensors, reservoir=reservoir, packets=packets)


def _sealed(inner: bytes) -> bytes:
    return _BEFORE + hashlib.sha256(inner).hexdigest().encode() + _BETWEEN + inner + _AFTER
