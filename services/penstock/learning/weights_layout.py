"""Which bytes of a weights file are which tensor's, and its tensors read one by one.

safetensors: a length of 8 bytes, a JSON header, then the tensors one behind the other without a gap. The library reads
from whole files in memory or by mapping them; either way a large file would be there twice while a model is built.
"""

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np

from penstock.errors import RefusedUpdateError
from penstock.flow import Array
from penstock.learning.weights_content import Content, MemoryContent, read
from penstock.make_way import STEP_BYTES, MakeWay, go_on

LENGTH_BYTES: Final = 8
MAX_HEADER_BYTES: Final = 100_000_000
"""As in the safetensors library."""
METADATA: Final = "__metadata__"
ALIGNMENT: Final = 64
"""Of the memory of torch's tensors on a CPU."""
_FINITE_STRIDE: Final = 1 << 20
_DTYPES: Final = {
    "BOOL": np.bool_, "U8": np.uint8, "I8": np.int8, "U16": np.uint16, "I16": np.int16, "F16": np.float16,
    "U32": np.uint32, "I32": np.int32, "F32": np.float32, "U64": np.uint64, "I64": np.int64, "F64": np.float64,
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Place:
    """A tensor of `dtype` and `shape` in the file's bytes from `begin` up to, not including, `end`."""

    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    begin: int
    end: int

    @property
    def form(self) -> tuple[np.dtype[Any], tuple[int, ...]]:
        """What two tensors must share to be of one kind."""
        return self.dtype, self.shape

    @property
    def row_bytes(self) -> int:
        """Of one index of the first axis; 0 where there is none."""
        return self.dtype.itemsize * math.prod(self.shape[1:]) if self.shape else 0


@dataclass(frozen=True, kw_only=True)
class Layout:
    """`header` are the bytes before the first tensor; `places` by name, in the order of the file."""

    header: bytes = field(repr=False)
    places: Mapping[str, Place]
    size_bytes: int

    @classmethod
    def of(cls, content: Content) -> "Layout":
        """Of a whole file. Raises `RefusedUpdateError` (`format`)."""
        if content.size_bytes < LENGTH_BYTES:
            raise _malformed("it has no header")
        length = int.from_bytes(read(content, 0, LENGTH_BYTES), "little")
        if length > min(MAX_HEADER_BYTES, content.size_bytes - LENGTH_BYTES):
            raise _malformed("its header is longer than the file")
        layout = cls.of_header(read(content, 0, LENGTH_BYTES + length))
        if layout.size_bytes != content.size_bytes:
            raise _malformed(f"its header describes {layout.size_bytes} bytes and it has {content.size_bytes}")
        return layout

    @classmethod
    def of_header(cls, header: bytes) -> "Layout":
        """Of the file that begins so. Raises `RefusedUpdateError` (`format`)."""
        try:
            described = json.loads(header[LENGTH_BYTES:])
            entries = {name: entry for name, entry in described.items() if name != METADATA}
            places = {name: _place(entry, len(header)) for name, entry in entries.items()}
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise _malformed(f"its header does not read: {error!r}") from None
        places = dict(sorted(places.items(), key=lambda item: (item[1].begin, item[1].end)))
        end = len(header)
        for name, place in places.items():
            if place.begin != end:
                raise _malformed(f"tensor {name!r} does not begin where the one before it ends")
            end = place.end
        return cls(header=header, places=places, size_bytes=end)

    def first_difference(self, other: "Layout", changed: frozenset[str]) -> int:
        """Where a file laid out so begins to differ from one of the `other` layout with these tensors changed."""
        if self.header != other.header:
            return 0
        return min((self.places[name].begin for name in changed), default=self.size_bytes)


class StoredTensors(Mapping[str, Array]):
    """The tensors of a weights file, each read anew when it is asked for; what is not finite is refused.

    `make_way` is called before each. None is looked at where all are known to be finite (`is_finite`).
    """

    def __init__(self, content: Content, layout: Layout, make_way: MakeWay = go_on, *, is_finite: bool = False) -> None:
        self._content, self._layout, self._make_way = content, layout, make_way
        self._is_finite = is_finite

    def __getitem__(self, name: str) -> Array:
        place = self._layout.places[name]
        array: Array = np.empty(place.shape, dtype=place.dtype)
        self.read_into(name, array)
        return array

    def __iter__(self) -> Iterator[str]:
        return iter(self._layout.places)

    def __len__(self) -> int:
        return len(self._layout.places)

    def form(self, name: str) -> tuple[tuple[int, ...], np.dtype[Any]]:
        """Shape and type of a tensor, without reading it."""
        place = self._layout.places[name]
        return place.shape, place.dtype

    def read_into(self, name: str, array: Array) -> None:
        """Fill a contiguous array of the tensor's form. Raises `RefusedUpdateError` (`not_finite`)."""
        self._make_way()
        self._content.read_into(self._layout.places[name].begin, bytes_of(array))
        if not self._is_finite:
            check_finite(name, array)

    def lying(self, name: str) -> Array | None:
        """A tensor where it lies, for whoever keeps it, if it lies as torch's own do. Raises as `read_into`."""
        place = self._layout.places[name]
        bytes_there = self._content.view(place.begin, place.end - place.begin)
        if bytes_there is None:
            return None
        array: Array = np.frombuffer(bytes_there, dtype=place.dtype).reshape(place.shape)
        if array.ctypes.data % ALIGNMENT:
            return None
        if not self._is_finite:
            self._make_way()
            check_finite(name, array)
        return array


class ChosenTensors(Mapping[str, Array]):
    """Those whose names begin with a prefix, by the rest of their names."""

    def __init__(self, tensors: Mapping[str, Array], prefix: str) -> None:
        self._tensors, self._prefix = tensors, prefix

    def __getitem__(self, name: str) -> Array:
        return self._tensors[self._prefix + name]

    def __iter__(self) -> Iterator[str]:
        return (name.removeprefix(self._prefix) for name in self._tensors if name.startswith(self._prefix))

    def __len__(self) -> int:
        return sum(1 for _ in self)


def bytes_of(array: Array) -> memoryview:
    """The memory of a contiguous array."""
    return array.reshape(-1).view(np.uint8).data


def is_finite(content: bytes | memoryview, make_way: MakeWay = go_on) -> bool:
    """False if it is no weights file, or if a number in it is not finite. `make_way` is called between small steps."""
    view = memoryview(content)
    try:
        layout = Layout.of(MemoryContent(content))
        for name, place in layout.places.items():
            for start in range(place.begin, place.end, STEP_BYTES):
                make_way()
                end = min(start + STEP_BYTES, place.end)
                check_finite(name, np.frombuffer(view[start:end], dtype=place.dtype))
    except RefusedUpdateError:
        return False
    return True


def check_finite(name: str, array: Array) -> None:
    """Raises `RefusedUpdateError` (`not_finite`)."""
    if array.dtype.kind != "f":
        return
    with np.errstate(over="ignore", invalid="ignore"):
        if math.isfinite(array.sum()):  # no sum with a value that is not finite is, and this takes half the time
            return
    flat = array.reshape(-1)
    for start in range(0, flat.size, _FINITE_STRIDE):
        if not np.isfinite(flat[start : start + _FINITE_STRIDE]).all():
            raise RefusedUpdateError("not_finite", f"The weights hold a value in {name!r} that is not finite.")


def _place(entry: Any, start: int) -> Place:
    dtype, shape = np.dtype(_DTYPES[entry["dtype"]]), tuple(entry["shape"])
    begin, end = entry["data_offsets"]
    if any(type(number) is not int or number < 0 for number in (*shape, begin, end)):
        raise ValueError(f"shape {shape} at {begin} to {end}")
    if end - begin != dtype.itemsize * math.prod(shape):
        raise ValueError(f"{end - begin} bytes for {dtype} {list(shape)}")
    return Place(dtype=dtype, shape=shape, begin=start + begin, end=start + end)


def _malformed(reason: str) -> RefusedUpdateError:
    return RefusedUpdateError("format", f"The weights file is not whole safetensors: {reason}.")
