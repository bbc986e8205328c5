"""What changed between two weights files, tensor by tensor or row by row, and the newer file over the older one.

A delta is a safetensors file (`schemas/model-delta.schema.json` describes it): `header` U8 is the whole header of the
newer file where it differs; `tensor/<name>` U8 a tensor's new bytes; `rows/<name>` I64 [k] and `values/<name>` U8
[k, bytes of a row] those rows of a tensor that changed or are new. Tensors without a word are as they were.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, cast

import numpy as np
import numpy.typing as npt
import safetensors.numpy
from safetensors import SafetensorError

from penstock.errors import RefusedUpdateError
from penstock.flow import Array
from penstock.learning.tensor_bytes import tensor_bytes
from penstock.learning.weights_content import Content, MemoryContent, ended
from penstock.learning.weights_layout import Layout, Place, bytes_of

HEADER: Final = "header"
TENSOR: Final = "tensor/"
ROWS: Final = "rows/"
VALUES: Final = "values/"
_INDEX_BYTES: Final = 8
_COMPARED_BYTES: Final = 1 << 20

Bytes = npt.NDArray[np.uint8]


def delta_between(base: bytes, weights: bytes, *, max_bytes: int) -> bytes | None:
    """The delta that makes `weights` of `base`, or None if it would be longer than `max_bytes`."""
    before, after = Layout.of(MemoryContent(base)), Layout.of(MemoryContent(weights))
    parts: dict[str, Array] = {}
    if after.header != before.header:
        parts[HEADER] = np.frombuffer(after.header, dtype=np.uint8)
    for name, place in after.places.items():
        parts |= _changes(name, before.places.get(name), place, base, weights)
        if sum(part.nbytes for part in parts.values()) > max_bytes:
            return None
    delta = tensor_bytes(parts)
    return delta if len(delta) <= max_bytes else None


@dataclass(frozen=True, kw_only=True)
class Stretch:
    """Bytes of the newer file from `begin` to `end`: `own`, or those of the older file that begin at `base`."""

    begin: int
    end: int
    own: Bytes | None = None
    base: int = 0


class PatchedContent:
    """`Content` of the newer file: the older one with a delta over it. `changed` tensors are held in memory.

    Raises:
        RefusedUpdateError: `delta`: it does not read, or does not fit the older file.
    """

    def __init__(self, base: Content, base_layout: Layout, delta: bytes) -> None:
        parts = _parts(delta)
        header = parts.pop(HEADER, None)
        self._base = base
        self.layout = base_layout if header is None else Layout.of_header(header.tobytes())
        own = dict(_rebuilt(parts, base, base_layout, self.layout))
        self.changed = frozenset(own)
        self._stretches = [Stretch(begin=0, end=len(self.layout.header), own=_as_bytes(self.layout.header))]
        for name, place in self.layout.places.items():
            before = base_layout.places.get(name)
            if name not in own and (before is None or before.form != place.form):
                raise _unfit(f"tensor {name!r} is of another form than in the base and is not in the delta")
            begins = 0 if before is None else before.begin
            self._stretches.append(Stretch(begin=place.begin, end=place.end, own=own.get(name), base=begins))

    @property
    def size_bytes(self) -> int:
        """Of the newer file."""
        return self.layout.size_bytes

    def read_into(self, offset: int, into: memoryview) -> None:
        """As `Content.read_into`."""
        end = offset + len(into)
        if end > self.size_bytes:
            raise ended(end, self.size_bytes)
        for stretch in self._stretches:
            begin, stop = max(offset, stretch.begin), min(end, stretch.end)
            if begin >= stop:
                continue
            target, skipped = into[begin - offset : stop - offset], begin - stretch.begin
            if stretch.own is None:
                self._base.read_into(stretch.base + skipped, target)
            else:
                target[:] = stretch.own[skipped : skipped + len(target)].data

    def view(self, offset: int, size_bytes: int) -> memoryview | None:
        """As `Content.view`: none."""
        return None


def _changes(name: str, before: Place | None, after: Place, base: bytes, weights: bytes) -> dict[str, Array]:
    now = np.frombuffer(weights, np.uint8, after.end - after.begin, after.begin)
    if before is None:
        return {TENSOR + name: now}
    then = np.frombuffer(base, np.uint8, before.end - before.begin, before.begin)
    if before.form == after.form and _equal(then, now):
        return {}
    same_rows = (before.dtype, before.shape[1:]) == (after.dtype, after.shape[1:]) and before.shape and after.shape
    if not same_rows or not after.row_bytes:
        return {TENSOR + name: now}
    rows = _changed_rows(then.reshape(-1, after.row_bytes), now.reshape(-1, after.row_bytes))
    if len(rows) * (after.row_bytes + _INDEX_BYTES) >= len(now):
        return {TENSOR + name: now}
    return {ROWS + name: rows, VALUES + name: now.reshape(-1, after.row_bytes)[rows]}


def _equal(then: Bytes, now: Bytes) -> bool:
    return all(
        np.array_equal(then[start : start + _COMPARED_BYTES], now[start : start + _COMPARED_BYTES])
        for start in range(0, len(now), _COMPARED_BYTES)
    )


def _changed_rows(then: Bytes, now: Bytes) -> npt.NDArray[np.int64]:
    """Indices of the rows [., row bytes] of `now` that differ, and of those that are new."""
    common = min(len(then), len(now))
    stride = max(_COMPARED_BYTES // now.shape[1], 1)
    found = [
        start + np.flatnonzero((then[start:stop] != now[start:stop]).any(axis=1))
        for start in range(0, common, stride)
        for stop in (min(start + stride, common),)
    ]
    return np.concatenate([*found, np.arange(common, len(now))]).astype(np.int64)


def _parts(delta: bytes) -> dict[str, Array]:
    try:
        return cast(dict[str, Array], safetensors.numpy.load(delta))
    except (SafetensorError, KeyError, ValueError, TypeError) as error:
        raise _unfit(f"it does not read: {error}") from None


def _rebuilt(parts: Mapping[str, Array], base: Content, before: Layout, after: Layout) -> "list[tuple[str, Bytes]]":
    """The tensors that a delta speaks of, by name, whole and as bytes."""
    rebuilt: list[tuple[str, Bytes]] = []
    for key, part in parts.items():
        kind, _, name = key.partition("/")
        place = after.places.get(name)
        if place is None or kind not in ("tensor", "rows", "values"):
            raise _unfit(f"it holds {key!r}, which is nothing of the newer file")
        size_bytes = place.end - place.begin
        if kind == "tensor":
            if part.dtype != np.uint8 or part.size != size_bytes:
                raise _unfit(f"{key!r} is {part.dtype} {list(part.shape)}, not {size_bytes} bytes")
            rebuilt.append((name, np.ascontiguousarray(part.reshape(-1))))
        elif kind == "rows":
            rebuilt.append((name, _with_rows(name, part, parts.get(VALUES + name), place, base, before)))
        elif ROWS + name not in parts:
            raise _unfit(f"{key!r} has no rows")
    return rebuilt


def _with_rows(name: str, rows: Array, values: Array | None, after: Place, base: Content, before: Layout) -> Bytes:
    place = before.places.get(name)
    if place is None or place.dtype != after.dtype or place.shape[1:] != after.shape[1:] or not after.row_bytes:
        raise _unfit(f"the rows of {name!r} are of another form than in the base")
    num_rows = after.shape[0]
    if values is None or values.dtype != np.uint8 or values.shape != (rows.size, after.row_bytes):
        raise _unfit(f"'values/{name}' is not {rows.size} rows of {after.row_bytes} bytes")
    if rows.dtype != np.int64 or rows.ndim != 1 or (len(rows) and (rows.min() < 0 or rows.max() >= num_rows)):
        raise _unfit(f"'rows/{name}' holds what is no row of {num_rows}")
    whole = np.zeros((num_rows, after.row_bytes), dtype=np.uint8)
    base.read_into(place.begin, bytes_of(whole)[: min(place.end - place.begin, whole.nbytes)])
    whole[rows] = values
    return whole.reshape(-1)


def _as_bytes(content: bytes) -> Bytes:
    return np.frombuffer(content, dtype=np.uint8)


def _unfit(reason: str) -> RefusedUpdateError:
    return RefusedUpdateError("delta", f"The delta is refused: {reason}.")
