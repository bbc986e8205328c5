"""A label that names a prediction gets that prediction's features, and costs its neighbours nothing."""

from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from kafka_messages import messages_of
from penstock.features import Feature, FeatureSchema
from penstock.wire.decoder import Decoded, EventDecoder
from penstock.wire.event_writer import arrow_message, json_event
from penstock.wire.late_labels import FoundPredictions, LateLabel
from penstock.wire.prediction import encode_predictions

SCHEMA = FeatureSchema(
    features=(
        Feature(name="n", kind="number"),
        Feature(name="v", kind="vector", width=2),
        Feature(name="t", kind="text"),
    )
)
COLUMNS = {"n": np.array([0.1, 7.0]), "v": np.array([[0.5, 1.5], [2.5, 3.5]], np.float32), "t": pa.array(["hé", ""])}
FEATURES: dict[str, Any] = {"n": 1.0, "v": [9.0, 8.0], "t": "own"}


def logged() -> dict[str, bytes]:
    """Two rows of one request."""
    records = encode_predictions(
        prediction_id="p",
        model="m",
        version=3,
        answered_at_ms=0,
        columns=COLUMNS,
        labels=["a", "b"],
        probabilities=[0.5, 1.0],
    )
    return {key.decode(): value for key, value in records}


def joined(decoder: EventDecoder, *values: bytes) -> tuple[Decoded, Decoded]:
    """What decoding says before and after its late labels were looked up among the logged predictions."""
    messages, records = messages_of(*values), logged()
    first = decoder.decode(messages)
    known = {label: records[label.prediction_id] for label in first.late if label.prediction_id in records}
    return first, decoder.decode(messages, FoundPredictions(values=known, otherwise="is not there"))


@pytest.mark.parametrize("columnar_from_bytes", [0, 10**9], ids=["columnar", "one by one"])
def test_a_late_label_is_learnt_with_the_features_of_its_prediction(columnar_from_bytes: int) -> None:
    first, second = joined(
        EventDecoder(SCHEMA, columnar_from_bytes=columnar_from_bytes),
        json_event(event_id="1", features=FEATURES, label="x"),
        json_event(event_id="2", prediction_id="p#1", label="y", weight=2.0),
        json_event(event_id="3", prediction_id="unknown", label="z"),
        json_event(event_id="4", prediction_id="p#0", label="w"),
    )
    assert first.late == (LateLabel(1, "p#1"), LateLabel(2, "unknown"), LateLabel(3, "p#0"))
    assert second.events.column("label").to_pylist() == ["x", "y", "w"]
    assert second.events.column("weight").to_pylist() == [1.0, 2.0, 1.0]
    assert second.events.column("offset").to_pylist() == [0, 1, 3]
    assert second.events.column("features.n").to_pylist() == [1.0, 7.0, 0.1]
    assert second.events.column("features.v").to_pylist() == [[9.0, 8.0], [2.5, 3.5], [0.5, 1.5]]
    assert second.events.column("features.t").to_pylist() == ["own", "", "hé"]
    (refused,) = second.invalid
    assert (refused.index, refused.reason) == (2, "unmatched")
    assert refused.sentence == "prediction_id 'unknown' is not there."
    assert second.accepted.tolist() == [True, True, False, True]


@pytest.mark.parametrize("flat", [True, False])
def test_rows_of_an_arrow_message_may_be_late(flat: bool) -> None:
    columns: dict[str, Any] = {
        "n": pa.array([1, None, None, None], pa.int32()),
        "v": pa.array([[9, 8], None, None, None], pa.list_(pa.float32(), 2)),
        "t": pa.array(["own", None, None, None]),
    }
    rest = {
        "event_id": ["1", "2", "3", "4"],
        "label": ["x", "y", "z", "w"],
        "prediction_id": [None, "p#0", "unknown", None],
    }
    table = pa.table(rest | columns)
    if not flat:
        table = pa.table(rest | {"features": pa.StructArray.from_arrays(list(columns.values()), list(columns))})
    first, second = joined(EventDecoder(SCHEMA), arrow_message(table))
    assert first.late == (LateLabel(0, "p#0"), LateLabel(0, "unknown"))
    assert second.events.column("label").to_pylist() == ["x", "y"]
    assert second.events.column("row").to_pylist() == [0, 1]
    assert second.events.column("features.n").to_pylist() == [1.0, 0.1]
    assert second.events.column("features.v").to_pylist() == [[9.0, 8.0], [0.5, 1.5]]
    (refused,) = second.invalid
    assert refused.rows == (2, 3), "the unmatched row, and the one with neither features nor prediction"


def test_an_arrow_message_may_hold_late_labels_alone() -> None:
    table = pa.table({"event_id": ["1", "2"], "label": ["x", "y"], "prediction_id": ["p#1", "p#0"]})
    _, second = joined(EventDecoder(SCHEMA), arrow_message(table))
    assert second.invalid == ()
    assert second.events.column("features.t").to_pylist() == ["", "hé"]


def test_features_that_an_event_brings_are_its_own() -> None:
    first, second = joined(
        EventDecoder(SCHEMA),
        json_event(event_id="1", features=FEATURES, label="x", prediction_id="p#0"),
        json_event(event_id="1", features={"n": 2.0}, label="x", prediction_id="p#0"),
    )
    assert first.late == ()
    assert second.events.column("features.t").to_pylist() == ["own"]
    assert [refused.reason for refused in second.invalid] == ["field"], "half of them make no late label"


@pytest.mark.parametrize(
    ("value", "reason", "sentence"),
    [
        (b'{"event_id": "1", "label": "x", "prediction_id": ""}', "prediction_id", "prediction_id is empty; it must"),
        (
            b'{"event_id": "1", "label": "x", "prediction_id": "%b"}' % (b"p" * 257),
            "prediction_id",
            "it must have 1 to 256 characters",
        ),
        (b'{"event_id": "1", "label": "x", "prediction_id": 7}', "prediction_id", "it must be a string"),
        (b'{"event_id": "1", "label": "", "prediction_id": "p#0"}', "label", "label is empty"),
        (b'{"event_id": "1", "label": "x"}', "field", "features.n is missing or null"),
    ],
)
def test_a_late_label_that_is_wrong_in_itself_is_refused_for_that(value: bytes, reason: str, sentence: str) -> None:
    _, second = joined(EventDecoder(SCHEMA), value)
    (refused,) = second.invalid
    assert refused.reason == reason
    assert sentence in refused.sentence


def test_a_logged_prediction_that_does_not_fit_the_model_is_no_ground_for_learning() -> None:
    other = EventDecoder(FeatureSchema(features=(Feature(name="n", kind="text"), Feature(name="new", kind="number"))))
    _, second = joined(other, json_event(event_id="1", prediction_id="p#0", label="x"))
    (refused,) = second.invalid
    assert refused.reason == "unmatched"
    assert "'p#0': its logged prediction is refused: features.n is a number; it must be a string" in refused.sentence
