"""Tensors as raw bytes, the one form that HTTP's binary extension and gRPC share.

Row-major, little-endian, without padding; of BYTES every element behind its length as an unsigned 32-bit integer.
"""

import math
import reprlib
import struct
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from penstock.serving.datatypes import DATATYPES, Datatype
from penstock.serving.refusals import BadInputError
from penstock.serving.requests import OutputTensor, Values

_LENGTH = struct.Struct("<I")
_MOST_DIMENSIONS, _LARGEST_SIZE = 8, 2**63 - 1


def datatype_of(name: str, datatype: str) -> Datatype:
    """What is known of the datatype of input `name`.

    Raises:
        BadInputError: there is no such datatype.
    """
    known = DATATYPES.get(datatype)
    if known is None:
        raise BadInputError(
            f"Input {reprlib.repr(name)} has datatype {reprlib.repr(datatype)}; known are {', '.join(DATATYPES)}."
        )
    return known


def read_raw(name: str, datatype: str, shape: Sequence[int], raw: bytes | memoryview) -> Values:
    """The values of input `name`, flat: a read-only array over `raw`, or texts.

    Raises:
        BadInputError: the bytes are not those of such a tensor.
    """
    known = datatype_of(name, datatype)
    wanted = num_values(name, shape)
    if known.kind == "bytes":
        return _read_texts(name, wanted, raw)
    wanted_bytes = wanted * np.dtype(known.layout).itemsize
    if len(raw) != wanted_bytes:
        raise BadInputError(
            f"Input {reprlib.repr(name)} holds {len(raw)} bytes; {datatype} in shape {reprlib.repr(list(shape))} "
            f"takes {reprlib.repr(wanted_bytes)}."
        )
    values = np.frombuffer(raw, dtype=known.layout)
    if datatype == "BF16":
        return (values.astype(np.uint32) << np.uint32(16)).view(np.float32)
    return values


def write_raw(tensor: OutputTensor) -> bytes:
    """The bytes of an output."""
    if isinstance(tensor.values, np.ndarray):
        values: npt.NDArray[np.float32] = tensor.values
        return values.astype("<f4", copy=False).tobytes()
    texts = [text.encode() for text in tensor.values]
    return b"".join(part for text in texts for part in (_LENGTH.pack(len(text)), text))


def num_values(name: str, shape: Sequence[int]) -> int:
    """The product of a shape's sizes, of which a message may hold millions.

    Raises:
        BadInputError: there are too many of them, or one is too large.
    """
    if len(shape) > _MOST_DIMENSIONS or max(map(abs, shape), default=0) > _LARGEST_SIZE:
        raise BadInputError(
            f"Input {reprlib.repr(name)} has shape {reprlib.repr(list(shape))}, which no column has: [n], [n, 1] or, "
            "of a vector, [n, width]."
        )
    return math.prod(shape)


def _read_texts(name: str, wanted: int, raw: bytes | memoryview) -> list[str]:
    texts: list[str] = []
    at, end = 0, len(raw)
    try:
        while at < end:
            start = at + _LENGTH.size
            at = start + _LENGTH.unpack_from(raw, at)[0]
            if at > end:
                raise struct.error
            if len(texts) >= wanted:
                raise BadInputError(
                    f"Input {reprlib.repr(name)} holds more elements than the {reprlib.repr(wanted)} that its shape "
                    "asks for."
                )
            texts.append(str(raw[start:at], "utf-8"))
    except struct.error:
        raise BadInputError(
            f"Input {reprlib.repr(name)}: element {len(texts)} goes beyond its {end} bytes; BYTES takes each element "
            "behind its length as a little-endian unsigned 32-bit integer."
        ) from None
    except UnicodeDecodeError:
        raise BadInputError(
            f"Input {reprlib.repr(name)}: element {len(texts)} is not UTF-8; texts and categories are."
        ) from None
    if len(texts) != wanted:
        raise BadInputError(
            f"Input {reprlib.repr(name)} holds {len(texts)} elements; its shape asks for {reprlib.repr(wanted)}."
        )
    return texts
