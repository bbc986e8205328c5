"""Large tensors in a checkpoint: each in a file of its own, written when it changes and linked while it does not.

A frozen or slow backbone of hundreds of megabytes so costs a checkpoint no more than reading it once.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from penstock.adapters.disk.files import FileDigest, link_or_copy
from penstock.adapters.disk.tensor_file import digest_of_tensors, write_tensors
from penstock.flow import Array

PREFIX = "tensor-"
"""Begins the name of such a file."""
LARGE_BYTES = 1 << 20
_SAMPLED = 1024
"""Values by which most tensors that have changed are known to, without reading all of them."""


@dataclass(frozen=True, kw_only=True)
class _Written:
    file: str
    digest: FileDigest
    sample: Array = field(repr=False)


@dataclass(frozen=True, kw_only=True)
class LargeTensors:
    """Those of one checkpoint, by their names."""

    written: Mapping[str, _Written] = field(default_factory=dict)

    @property
    def files(self) -> dict[str, FileDigest]:
        """By the name of the file."""
        return {one.file: one.digest for one in self.written.values()}

    def put(self, tensors: Mapping[str, Array], newest: Path | None, folder: Path, sequence: int) -> "LargeTensors":
        """Put the large ones of the next checkpoint into `folder`; these here are those of `newest`, if there is one.

        Raises:
            OSError: the disk.
        """
        written: dict[str, _Written] = {}
        for name, array in tensors.items():
            if not is_large(array):
                continue
            before, sample = self.written.get(name), _sample(array)
            if before is not None and newest is not None and _is_same(before, sample, {name: array}):
                link_or_copy(newest / before.file, folder / before.file)
                written[name] = before
                continue
            file = f"{PREFIX}{sequence:08d}-{len(written):04d}.safetensors"
            written[name] = _Written(file=file, digest=write_tensors(folder / file, {name: array}), sample=sample)
        return LargeTensors(written=written)


def is_large(array: Array) -> bool:
    """True if the array has a file of its own."""
    return array.nbytes >= LARGE_BYTES


def _sample(array: Array) -> Array:
    flat = array.reshape(-1)
    return flat[:: -(-flat.size // _SAMPLED)].copy()


def _is_same(before: _Written, sample: Array, named: Mapping[str, Array]) -> bool:
    return before.sample.tobytes() == sample.tobytes() and digest_of_tensors(named) == before.digest


def without_large(tensors: Mapping[str, Array]) -> dict[str, Array]:
    """The others."""
    return {name: array for name, array in tensors.items() if not is_large(array)}
