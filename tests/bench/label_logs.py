"""Label topics filled beforehand, for benchmarks that read them."""

from collections.abc import Iterator

import msgspec
import numpy as np
import pyarrow as pa
from confluent_kafka import Producer

from kafka_brokers import create_topic

WIDTH = 64
CLASSES = 10
DISTINCT = 20_000
ROWS_PER_MESSAGE = 256


def _data() -> tuple["np.ndarray[tuple[int, int], np.dtype[np.float32]]", list[str]]:
    generator = np.random.default_rng(0)
    labels = generator.integers(0, CLASSES, size=DISTINCT)
    centres = generator.normal(size=(CLASSES, WIDTH))
    vectors = (centres[labels] + generator.normal(size=(DISTINCT, WIDTH))).round(3).astype(np.float32)
    return vectors, [f"class-{label}" for label in labels.tolist()]


def json_values(count: int) -> Iterator[bytes]:
    """Labelled events as JSON, one a message; 20,000 distinct ones, again and again."""
    vectors, labels = _data()
    values = [
        msgspec.json.encode({"event_id": f"e-{i}", "features": {"pixels": vector}, "label": label})
        for i, (vector, label) in enumerate(zip(vectors.astype(np.float64).round(3).tolist(), labels, strict=True))
    ]
    for number in range(count):
        yield values[number % DISTINCT]


def arrow_values(count: int) -> Iterator[bytes]:
    """The same events as Arrow streams of 256 rows a message."""
    vectors, labels = _data()
    streams = []
    for start in range(0, DISTINCT - ROWS_PER_MESSAGE, ROWS_PER_MESSAGE):
        chosen = slice(start, start + ROWS_PER_MESSAGE)
        batch = pa.RecordBatch.from_pydict(
            {
                "event_id": [f"e-{i}" for i in range(start, start + ROWS_PER_MESSAGE)],
                "pixels": pa.FixedSizeListArray.from_arrays(pa.array(vectors[chosen].ravel()), WIDTH),
                "label": labels[chosen],
            }
        )
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, batch.schema) as writer:
            writer.write_batch(batch)
        streams.append(sink.getvalue().to_pybytes())
    for number in range(count // ROWS_PER_MESSAGE):
        yield streams[number % len(streams)]


def fill(bootstrap_servers: str, topic: str, values: Iterator[bytes], content_type: str, *, partitions: int = 2) -> int:
    """Make the topic and produce every value, spread evenly; returns the number of messages."""
    create_topic(bootstrap_servers, topic, partitions)
    producer = Producer({"bootstrap.servers": bootstrap_servers, "linger.ms": 20, "batch.size": 1_000_000})
    count = 0
    for value in values:
        while True:
            try:
                producer.produce(
                    topic, value, partition=count % partitions, headers=[("content-type", content_type.encode())]
                )
            except BufferError:
                producer.poll(0.1)
            else:
                break
        count += 1
    assert producer.flush(60) == 0
    return count
