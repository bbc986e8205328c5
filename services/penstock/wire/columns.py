"""The columns of an `EventBatch`: the one place that names them.

Feature columns are called `features.<name>`, always, so that no configured name can clash with a column beside them
and every error sentence names a field as it stands in the event.
"""

from typing import Any, Final

import pyarrow as pa

from penstock.features import Feature, FeatureSchema

FEATURE_PREFIX: Final = "features."
LABEL: Final = "label"
WEIGHT: Final = "weight"
PARTITION: Final = "partition"
OFFSET: Final = "offset"
ROW: Final = "row"
TIMESTAMP_MS: Final = "timestamp_ms"
TENANT: Final = "tenant"
"""Only in batches in which an event has one; null for those that have none."""


def feature_column(name: str) -> str:
    """The column that holds the feature configured as `name`."""
    return FEATURE_PREFIX + name


def feature_type(feature: Feature) -> Any:
    """The Arrow type: number float64, vector fixed_size_list<float32>[width], category and text string."""
    if feature.kind == "number":
        return pa.float64()
    if feature.kind == "vector":
        return pa.list_(pa.float32(), feature.width)
    return pa.string()


def batch_schema(schema: FeatureSchema) -> Any:
    """The Arrow schema of `EventBatch.events`; no column holds nulls.

    Feature columns in configured order, then `label` string, `weight` float64, `partition` int32, `offset` int64,
    `row` int32 (position within its message) and `timestamp_ms` int64 (Kafka's, of the message).
    """
    return pa.schema(
        [pa.field(feature_column(feature.name), feature_type(feature)) for feature in schema]
        + [
            pa.field(LABEL, pa.string()),
            pa.field(WEIGHT, pa.float64()),
            pa.field(PARTITION, pa.int32()),
            pa.field(OFFSET, pa.int64()),
            pa.field(ROW, pa.int32()),
            pa.field(TIMESTAMP_MS, pa.int64()),
        ]
    )
