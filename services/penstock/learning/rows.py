"""Events as the encoder takes them and as it leaves them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from penstock.features import FeatureSchema

Columns = Mapping[str, Any]
"""One value per feature, by configured name: number float64 [n]; vector float32 [n, width]; category and text a
pyarrow string array [n]. Nothing is missing, null, NaN or infinite: whoever decoded the bytes saw to that."""


@dataclass(frozen=True, kw_only=True)
class EncodedRows:
    """What the network reads: `dense` float32 [n, D] (numbers first), `tokens` int32 [n, T] (T = 0 without `text`)."""

    dense: npt.NDArray[np.float32]
    tokens: npt.NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.dense)

    @classmethod
    def joined(cls, parts: Sequence["EncodedRows"]) -> "EncodedRows":
        """The rows of all parts, in order."""
        if len(parts) == 1:
            return parts[0]
        return cls(
            dense=np.concatenate([part.dense for part in parts]),
            tokens=np.concatenate([part.tokens for part in parts]),
        )


def columns_of(events: Any, schema: FeatureSchema) -> Columns:
    """The feature columns of `EventBatch.events`, where they stand in configured order before all others."""
    columns: dict[str, Any] = {}
    numbers = [place for place, feature in enumerate(schema) if feature.kind == "number"]
    if numbers:  # all at once: asking Arrow for one column costs more than copying many
        side_by_side = events.select(numbers).to_tensor(row_major=False).to_numpy()
        columns = {schema.features[place].name: column for place, column in zip(numbers, side_by_side.T, strict=True)}
    for place, feature in enumerate(schema):
        if feature.kind == "vector":
            column = events.column(place)
            rows = column.values.to_numpy().reshape(-1, feature.width)
            columns[feature.name] = rows[column.offset : column.offset + len(column)]
        elif feature.kind != "number":
            columns[feature.name] = events.column(place)
    return columns
