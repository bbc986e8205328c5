"""Arrays as a safetensors file, written straight from their memory and read without a copy.

The format is a length, a JSON header and the arrays' bytes (https://huggingface.co/docs/safetensors). The library's
own functions copy every array on the way and give no digest; it reads what is written here.
"""

import json
import math
import mmap
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from penstock.adapters.disk.files import FileDigest, digest_of_parts, write_file
from penstock.flow import Array

DTYPES: Mapping[str, str] = {
    "bool": "BOOL",
    "uint8": "U8",
    "int8": "I8",
    "uint16": "U16",
    "int16": "I16",
    "float16": "F16",
    "uint32": "U32",
    "int32": "I32",
    "float32": "F32",
    "uint64": "U64",
    "int64": "I64",
    "float64": "F64",
}
NAMES = {code: name for name, code in DTYPES.items()}
LENGTH_BYTES = 8
"""Of the length at the start; the header is padded to a multiple of it, so that arrays lie aligned."""


def write_tensors(path: Path, arrays: Mapping[str, Array]) -> FileDigest:
    """Write a new safetensors file and fsync it.

    Raises:
        OSError: the disk.
        ValueError: an array is of a type the format does not have.
    """
    return write_file(path, _parts(arrays))


def digest_of_tensors(arrays: Mapping[str, Array]) -> FileDigest:
    """What `write_tensors` would return."""
    return digest_of_parts(_parts(arrays))


def read_tensors(content: memoryview | mmap.mmap) -> dict[str, Array]:
    """The arrays of a file that `write_tensors` wrote, by name: views of `content`, writable where it is."""
    start = LENGTH_BYTES + int.from_bytes(content[:LENGTH_BYTES], "little")
    header = json.loads(bytes(content[LENGTH_BYTES:start]))
    return {name: _view(content, start, entry) for name, entry in header.items()}


def _view(content: memoryview | mmap.mmap, start: int, entry: Mapping[str, Any]) -> Array:
    dtype = np.dtype(NAMES[entry["dtype"]]).newbyteorder("<")
    count = math.prod(entry["shape"])
    offset = start + entry["data_offsets"][0] if count else 0
    array: Array = np.frombuffer(content, dtype=dtype, count=count, offset=offset)
    return array.reshape(entry["shape"])


def _parts(arrays: Mapping[str, Array]) -> Iterator[bytes | memoryview]:
    ordered = sorted(arrays.items(), key=lambda item: (-item[1].dtype.itemsize, item[0]))  # keeps each one aligned
    header: dict[str, object] = {}
    end = 0
    for name, array in ordered:
        if array.dtype.name not in DTYPES:
            raise ValueError(f"the array {name!r} is of type {array.dtype}; allowed: {', '.join(DTYPES)}")
        start, end = end, end + array.nbytes
        header[name] = {"dtype": DTYPES[array.dtype.name], "shape": list(array.shape), "data_offsets": (start, end)}
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % LENGTH_BYTES)
    yield len(text).to_bytes(LENGTH_BYTES, "little") + text
    for _, array in ordered:
        yield _bytes_of(array)


def _bytes_of(array: Array) -> memoryview:
    if sys.byteorder == "big" or array.dtype.byteorder == ">":
        array = array.astype(array.dtype.newbyteorder("<"))
    return np.ascontiguousarray(array).reshape(-1).view(np.uint8).data
