"""What senders write, the decoder reads."""

import pyarrow as pa
import pytest

from kafka_messages import messages_of
from penstock.features import Feature, FeatureSchema
from penstock.wire.decoder import EventDecoder
from penstock.wire.event_writer import arrow_message, json_event

SCHEMA = FeatureSchema(features=(Feature(name="v", kind="vector", width=2), Feature(name="label", kind="text")))
DECODER = EventDecoder(SCHEMA)


def test_optional_fields_are_left_out_of_json_unless_given() -> None:
    assert (
        json_event(event_id="e", features={"n": 1}, label=True) == b'{"event_id":"e","features":{"n":1},"label":true}'
    )
    full = json_event(event_id="e", features={}, label=1, occurred_at="2026-01-01T00:00:00Z", weight=2.0, tenant="t")
    assert full == (
        b'{"event_id":"e","features":{},"label":1,"occurred_at":"2026-01-01T00:00:00Z","weight":2.0,"tenant":"t"}'
    )


@pytest.mark.parametrize("as_table", [True, False])
def test_columns_beside_the_fields_of_an_event_become_its_features(as_table: bool) -> None:
    table = pa.table({"event_id": ["a", "b"], "label": ["x", "y"], "weight": [1.0, 2.0], "v": [[1, 2], [3, 4]]})
    message = arrow_message(table if as_table else table.to_batches()[0])
    read = pa.ipc.open_stream(message).read_all()
    assert read.schema.names == ["event_id", "label", "weight", "features"]
    assert read.column("features").to_pylist() == [{"v": [1, 2]}, {"v": [3, 4]}]


def test_a_struct_of_features_is_left_as_it_is() -> None:
    features = [{"v": [1.0, 2.0], "label": "a text called label"}]
    table = pa.table({"event_id": ["a"], "label": ["x"], "features": features, "other": [1]})
    decoded = DECODER.decode(messages_of(arrow_message(table)))
    assert decoded.events.column("features.label").to_pylist() == ["a text called label"]
    assert decoded.events.column("label").to_pylist() == ["x"]


def test_a_table_in_pieces_and_one_without_rows_are_written_whole() -> None:
    table = pa.table({"event_id": ["a"], "label": ["x"], "v": [[1, 2]]})
    assert pa.ipc.open_stream(arrow_message(pa.concat_tables([table, table]))).read_all().num_rows == 2
    assert pa.ipc.open_stream(arrow_message(table.slice(0, 0))).read_all().num_rows == 0
