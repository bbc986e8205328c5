"""The vectors of JSON events: the text of each list is parsed together with all others."""

import secrets
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa

try:
    import simdjson
except ImportError:  # no wheel for this Python or processor: each text is read by itself, three times as slowly
    simdjson = None  # type: ignore[assignment]

VectorText = msgspec.Raw | list[float] | None
"""A vector as it stands in its event, or as it was read already; None where the event has none."""


@dataclass(frozen=True, kw_only=True)
class ReadVectors:
    """`column` is a list of float64 or a fixed_size_list of float32 [n], null where there is none.

    It is null too where the text is no list of numbers: what is wrong with it stands in `errors`, by row.
    """

    column: Any
    errors: Mapping[int, msgspec.MsgspecError]


class VectorTexts:
    """Reads vectors that should be `width` long, and may be of any length. Not thread-safe."""

    def __init__(self, width: int) -> None:
        self._width = width
        self._mark = secrets.randbits(52) + 0.5
        self._between, self._behind = b",%r," % self._mark, b",%r]" % self._mark
        self._parser: Any = None if simdjson is None else simdjson.Parser()
        self._decode = msgspec.json.Decoder(list[float] | None).decode

    def read(self, texts: Sequence[VectorText]) -> ReadVectors:
        """All of them; both ways of reading take the float64 nearest to the decimal number, and round it once more."""
        column = self._together(texts)
        return self._one_by_one(texts) if column is None else ReadVectors(column=column, errors={})

    def _together(self, texts: Sequence[VectorText]) -> Any | None:
        """The column; None unless every text is a list of `width` numbers within the range of float64.

        A number that no sender knows stands behind each list, and must be found there and there alone.
        """
        if self._parser is None or not texts:
            return None
        try:
            joined = b"[" + self._between.join(texts) + self._behind  # type: ignore[arg-type]  # Raw has a buffer; others raise
            if joined.count(b"[") != len(texts) + 1:  # lists within lists would be read as one
                return None
            # Nothing may hold on to what `parse` returns, or the parser refuses to be used again.
            values = np.frombuffer(self._parser.parse(joined).as_buffer(of_type="d"), dtype=np.float64)
        except (ValueError, TypeError, RuntimeError):
            return None
        if len(values) != len(texts) * (self._width + 1):
            return None
        rows = values.reshape(len(texts), self._width + 1)
        if (rows[:, -1] != self._mark).any():
            return None
        with np.errstate(over="ignore"):  # beyond float32 is infinite, which validation refuses
            numbers = rows[:, :-1].astype(np.float32).reshape(-1)
        return pa.FixedSizeListArray.from_arrays(pa.array(numbers), self._width)

    def _one_by_one(self, texts: Sequence[VectorText]) -> ReadVectors:
        errors: dict[int, msgspec.MsgspecError] = {}
        vectors: list[list[float] | None] = []
        for row, text in enumerate(texts):
            try:
                vectors.append(self._decode(text) if isinstance(text, msgspec.Raw) else text)
            except msgspec.MsgspecError as error:
                errors[row] = error
                vectors.append(None)
        offsets = np.zeros(len(vectors) + 1, dtype=np.int32)
        np.cumsum([len(vector) if vector else 0 for vector in vectors], out=offsets[1:])
        packed = b"".join(struct.pack(f"{len(vector)}d", *vector) for vector in vectors if vector)
        column = pa.ListArray.from_arrays(
            pa.array(offsets),
            pa.array(np.frombuffer(packed, dtype=np.float64)),
            mask=pa.array([vector is None for vector in vectors], pa.bool_()),
        )
        return ReadVectors(column=column, errors=errors)
