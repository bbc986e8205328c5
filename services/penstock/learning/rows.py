"""Events as the encoder takes them and as it leaves them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from penstock.features import FeatureSchema
from penstock.wire.columns import feature_column

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
    """The feature columns of `EventBatch.events`, without a copy where Arrow's layout allows."""
    columns: dict[str, Any] = {}
    for feature in schema:
        column = events.column(feature_column(feature.name))
        if feature.kind == "number":
            columns[feature.name] = column.to_numpy()
        elif feature.kind == "vector":
            rows = column.values.to_numpy().reshape(-1, feature.width)
            columns[feature.name] = rows[column.offset : column.offset + len(column)]
        else:
            columns[feature.name] = column
    return columns
