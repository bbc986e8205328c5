"""Named columns to fixed-width rows. What a new word or category can never change is a shape.

Rows are stored raw: numbers are standardised only where the network uses them (`standardiser`), so that rows kept for
replay follow the moments as they move.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import cast

import numpy as np
import numpy.typing as npt

from penstock.features import Feature, FeatureKind, FeatureSchema
from penstock.flow import Json
from penstock.learning.config import BackboneConfig
from penstock.learning.hashing import TokenHasher, buckets_and_signs, with_bigrams, words_of
from penstock.learning.rows import Columns, EncodedRows

Floats = npt.NDArray[np.float32]

_VECTOR_CLIPPED_AT = 100.0
"""Standard deviations from the origin."""
_FLOAT32_MAX = float(np.finfo(np.float32).max)
_LARGEST_NUMBER = 1e37
"""Of a number column, from its origin: two such are no further apart than float32 reaches, and 1/σ of them is in its
normal range, so that what is standardised is never infinite times zero."""


@dataclass(frozen=True, kw_only=True)
class EncoderConstants:
    """What the first rows fix for good.

    `origins` are subtracted: of a number column a value of the first batch, in float64, so that seconds since 1970
    keep their fractions in float32; of a vector column the mean of all its elements in the first batch where they
    differ. `scales`, of vector columns, then multiply: 1/standard deviation of those elements. Both are one scalar a
    column, since scaling element by element explodes, on a stream ordered by class, what was constant at first.
    """

    origins: Mapping[str, float] = field(default_factory=dict)
    scales: Mapping[str, float] = field(default_factory=dict)

    def to_json(self) -> dict[str, Json]:
        return {"origins": dict(self.origins), "scales": dict(self.scales)}

    @classmethod
    def from_json(cls, value: Json) -> "EncoderConstants":
        """The inverse of `to_json`; raises `ValueError` where it is not such a value."""
        if not isinstance(value, dict) or set(value) != {"origins", "scales"}:
            raise ValueError(f"encoder constants are origins and scales, not {value!r}")
        return cls(origins=_floats(value["origins"]), scales=_floats(value["scales"]))


class Encoder:
    """Immutable, safe to share between threads. Dense columns: numbers, then vectors, then hashed ones."""

    def __init__(
        self, schema: FeatureSchema, backbone: BackboneConfig, constants: EncoderConstants | None = None
    ) -> None:
        self.constants = constants or EncoderConstants()
        self._schema = schema
        self._backbone = backbone
        self._numbers = _of_kind(schema, "number")
        self._vectors = _of_kind(schema, "vector")
        self._categories = _of_kind(schema, "category")
        texts = _of_kind(schema, "text")
        reads_tokens = backbone.kind == "text"
        self._sequences = texts if reads_tokens else ()
        self._bags = () if reads_tokens else texts
        self._hashers = {feature.name: TokenHasher(feature.name) for feature in self._categories + texts}
        self._origins = np.array([[self.constants.origins.get(feature.name, 0.0)] for feature in self._numbers])
        self._vector_scalars = {feature.name: _scalars(self.constants, feature.name) for feature in self._vectors}
        self.num_numbers = len(self._numbers)
        self.dense_width = sum(
            feature.dense_width for feature in self._numbers + self._vectors + self._categories + self._bags
        )
        self.tokens_width = backbone.max_tokens * len(self._sequences)

    @property
    def is_fitted(self) -> bool:
        """True once every origin and scale is fixed."""
        return len(self.constants.origins) == len(self._numbers) + len(self._vectors)

    def fitted_to(self, columns: Columns) -> "Encoder":
        """An encoder in which these columns (at least one row) fix what is not fixed yet."""
        origins = {feature.name: _lower_median(columns[feature.name]) for feature in self._numbers}
        scales = {}
        for feature in self._vectors:
            elements = columns[feature.name].astype(np.float64)
            deviation = float(elements.std())
            if deviation > 0:
                origins[feature.name] = float(elements.mean())
                scales[feature.name] = 1 / deviation
        constants = EncoderConstants(
            origins=origins | dict(self.constants.origins), scales=scales | dict(self.constants.scales)
        )
        return Encoder(self._schema, self._backbone, constants)

    def recode(self, dense: npt.NDArray[np.float64], constants: EncoderConstants) -> Floats:
        """Dense rows [n, D] as this encoder makes them, of what one with these `constants` made."""
        with np.errstate(over="ignore"):  # what leaves float64 here is clipped with what is too large
            rows = self._recoded(dense, constants)
        for block, most in (
            (rows[:, : self.num_numbers], _LARGEST_NUMBER),
            (rows[:, self.num_numbers :], _VECTOR_CLIPPED_AT),
        ):
            np.clip(block, -most, most, out=block)
        return rows.astype(np.float32)

    def _recoded(self, dense: npt.NDArray[np.float64], constants: EncoderConstants) -> npt.NDArray[np.float64]:
        rows = dense.copy()
        for place, feature in enumerate(self._numbers):
            rows[:, place] += constants.origins.get(feature.name, 0.0) - self.constants.origins.get(feature.name, 0.0)
        start = self.num_numbers
        for feature in self._vectors:
            block = rows[:, start : (start := start + feature.dense_width)]
            block /= constants.scales.get(feature.name, 1.0)
            block += constants.origins.get(feature.name, 0.0) - self.constants.origins.get(feature.name, 0.0)
            block *= self.constants.scales.get(feature.name, 1.0)
        return rows

    @property
    def schema(self) -> FeatureSchema:
        """The features it reads."""
        return self._schema

    def with_constants(self, constants: EncoderConstants) -> "Encoder":
        """The same columns with these constants."""
        return Encoder(self._schema, self._backbone, constants)

    def encode(self, columns: Columns) -> EncodedRows:
        """The rows of `columns`, in order."""
        num_rows = len(columns[next(iter(self._schema)).name])
        dense: Floats = np.empty((num_rows, self.dense_width), dtype=np.float32)
        self._encode_numbers(columns, dense[:, : self.num_numbers])
        start = self.num_numbers
        for feature in self._vectors:
            block = dense[:, start : (start := start + feature.dense_width)]
            self._encode_vector(feature, columns, block)
        for feature in self._categories:
            self._encode_category(feature, columns, dense[:, start : (start := start + feature.dense_width)])
        for feature in self._bags:
            self._encode_bag(feature, columns, dense[:, start : (start := start + feature.dense_width)])
        return EncodedRows(dense=dense, tokens=self._token_ids(columns, num_rows))

    def _encode_numbers(self, columns: Columns, block: Floats) -> None:
        if self._numbers:
            values = np.array([columns[feature.name] for feature in self._numbers])
            with np.errstate(over="ignore"):  # what leaves float64 here is clipped with what is too large
                values -= self._origins
            np.minimum(np.maximum(values, -_LARGEST_NUMBER, out=values), _LARGEST_NUMBER, out=values)
            block[:] = values.T

    def _encode_vector(self, feature: Feature, columns: Columns, block: Floats) -> None:
        """Clipped, since one absurd element would otherwise make the loss infinite."""
        lowest, highest, origin, scale = self._vector_scalars[feature.name]
        np.minimum(np.maximum(columns[feature.name], lowest, out=block), highest, out=block)
        np.subtract(block, origin, out=block)
        np.multiply(block, scale, out=block)

    def _encode_category(self, feature: Feature, columns: Columns, block: Floats) -> None:
        """One signed entry per row."""
        places, hashes = self._hashers[feature.name].hash_distinct(columns[feature.name])
        buckets, signs = buckets_and_signs(hashes, feature.dense_width)
        block[:] = 0
        block[np.arange(len(block)), buckets[places]] = signs[places]

    def _encode_bag(self, feature: Feature, columns: Columns, block: Floats) -> None:
        """Signed counts of words and neighbouring pairs, each row of length 1 (or all zeros without words)."""
        words, rows = with_bigrams(*words_of(columns[feature.name]))
        places, hashes = self._hashers[feature.name].hash_distinct(words)
        buckets, signs = buckets_and_signs(hashes, feature.dense_width)
        cells = rows * feature.dense_width + buckets[places]
        counts = np.bincount(cells, weights=signs[places], minlength=block.size).reshape(block.shape)
        lengths = np.sqrt(np.einsum("nd,nd->n", counts, counts))
        block[:] = counts / np.where(lengths > 0, lengths, 1.0)[:, None]

    def _token_ids(self, columns: Columns, num_rows: int) -> npt.NDArray[np.int32]:
        """Rows of the embedding table, 0 where the text has ended."""
        ids: npt.NDArray[np.int32] = np.zeros((num_rows, self.tokens_width), dtype=np.int32)
        width = self._backbone.max_tokens
        for number, feature in enumerate(self._sequences):
            words, rows = words_of(columns[feature.name])
            places, hashes = self._hashers[feature.name].hash_distinct(words)
            lengths = np.bincount(rows, minlength=num_rows)
            positions = np.arange(len(rows)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
            read = positions < width
            buckets = 1 + (hashes % np.uint64(self._backbone.embedding_buckets)).astype(np.int32)
            ids[rows[read], number * width + positions[read]] = buckets[places[read]]
        return ids


def _of_kind(schema: FeatureSchema, kind: FeatureKind) -> tuple[Feature, ...]:
    return tuple(feature for feature in schema if feature.kind == kind)


def _scalars(constants: EncoderConstants, name: str) -> tuple[np.float32, np.float32, np.float32, np.float32]:
    """Lowest and highest element read, origin and scale of a vector column."""
    origin, scale = constants.origins.get(name, 0.0), constants.scales.get(name, 1.0)
    lowest = max(origin - _VECTOR_CLIPPED_AT / scale, -_FLOAT32_MAX)
    highest = min(origin + _VECTOR_CLIPPED_AT / scale, _FLOAT32_MAX)
    return np.float32(lowest), np.float32(highest), np.float32(origin), np.float32(min(scale, _FLOAT32_MAX))


def _floats(value: Json) -> dict[str, float]:
    if not isinstance(value, dict) or not all(isinstance(number, float) for number in value.values()):
        raise ValueError(f"encoder constants are numbers by column, not {value!r}")
    return cast(dict[str, float], value)


def _lower_median(values: npt.NDArray[np.float64]) -> float:
    middle = (len(values) - 1) // 2
    return float(np.partition(values, middle)[middle])
