"""`schemas/prediction.schema.json` and what replicas log say the same, and labels can be joined to it."""

import json
from typing import Any

import numpy as np
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from json_schemas import schema, validator
from kafka_messages import messages_of
from penstock.features import Feature, FeatureSchema
from penstock.wire.decoder import EventDecoder
from penstock.wire.event_writer import json_event
from penstock.wire.late_labels import FoundPredictions
from penstock.wire.prediction import MAX_REQUEST_ID_CHARACTERS, encode_predictions

VALIDATOR = validator("prediction")
SCHEMA = FeatureSchema(
    features=(
        Feature(name="n", kind="number"),
        Feature(name="v", kind="vector", width=2),
        Feature(name="t", kind="category"),
    )
)
DECODER = EventDecoder(SCHEMA)

doubles = st.floats(allow_nan=False, allow_infinity=False)
singles = st.floats(allow_nan=False, allow_infinity=False, width=32)
rows = st.lists(st.tuples(doubles, st.tuples(singles, singles), st.text()), min_size=1, max_size=4)


def written(prediction_id: str, asked: list[Any]) -> dict[str, bytes]:
    records = encode_predictions(
        prediction_id=prediction_id,
        model="m",
        version=1,
        answered_at_ms=1_700_000_000_000,
        columns={
            "n": np.array([row[0] for row in asked]),
            "v": np.array([row[1] for row in asked], dtype=np.float32),
            "t": pa.array([row[2] for row in asked]),
        },
        labels=["x"] * len(asked),
        probabilities=[0.25] * len(asked),
    )
    return {key.decode(): value for key, value in records}


@settings(deadline=None)
@given(st.text(min_size=1, max_size=MAX_REQUEST_ID_CHARACTERS), rows)
def test_what_is_logged_fits_the_schema_and_comes_back_bit_for_bit(prediction_id: str, asked: list[Any]) -> None:
    records = written(prediction_id, asked)
    for key, value in records.items():
        record = json.loads(value)
        VALIDATOR.validate(record)
        assert record["prediction_id"] == key
        assert set(record) == set(schema("prediction")["properties"])
    messages = messages_of(*[json_event(event_id="e", label="y", prediction_id=key) for key in records])
    late = DECODER.decode(messages).late
    found = FoundPredictions(values={label: records[label.prediction_id] for label in late})
    events = DECODER.decode(messages, found).events
    assert events.column("features.n").to_pylist() == [row[0] for row in asked]
    assert events.column("features.v").to_pylist() == [list(row[1]) for row in asked]
    assert events.column("features.t").to_pylist() == [row[2] for row in asked]
