"""Messages that are no labelled events, of every kind; for a model with a number `amount` and a vector `x`."""

import json
import struct
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from penstock.wire.arrow_events import MAX_ROWS
from penstock.wire.arrow_stream import MAGIC
from penstock.wire.message import Headers

WIDTH = 8
ARROW: Headers = [("content-type", b"application/vnd.apache.arrow.stream")]
MEGABYTE = 1_000_000


@dataclass(frozen=True)
class Poison:
    """What a producer sent; None is a tombstone."""

    value: bytes | None
    headers: Headers | None = None


def event(**changes: object) -> bytes:
    """A good event, but for the changes; a field that is `...` is left out."""
    document = {
        "event_id": "e",
        "features": {"x": [0.0] * WIDTH, "amount": 1.0},
        "label": "a",
        **changes,
    }
    return json.dumps({name: value for name, value in document.items() if value is not ...}).encode()


def features(**changes: object) -> dict[str, object]:
    """Of a good event, but for the changes."""
    return {name: value for name, value in ({"x": [0.0] * WIDTH, "amount": 1.0} | changes).items() if value is not ...}


def stream(num_rows: int = 20, compression: str | None = None) -> bytes:
    """A good Arrow message."""
    rng = np.random.default_rng(num_rows)
    batch = pa.RecordBatch.from_arrays(
        [
            pa.array([f"a-{row}" for row in range(num_rows)]),
            pa.FixedSizeListArray.from_arrays(pa.array(rng.normal(size=num_rows * WIDTH)), WIDTH),
            pa.array(np.zeros(num_rows)),
            pa.array(["a", "b"] * (num_rows // 2)),
        ],
        names=["event_id", "x", "amount", "label"],
    )
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema, options=pa.ipc.IpcWriteOptions(compression=compression)) as writer:
        writer.write_batch(batch)
    content: bytes = sink.getvalue().to_pybytes()
    return content


def json_poison() -> dict[str, Poison]:
    """By what is wrong with it."""
    deep = 100_000
    return {name: Poison(value) for name, value in {
        "no value": None,
        "empty": b"",
        "blank": b" \n",
        "not JSON": b"<event/>",
        "cut off": event()[:-5],
        "two documents": event() + b"\n" + event(),
        "garbage behind": event() + b"}",
        "not an object": b'["event"]',
        "null": b"null",
        "invalid UTF-8": event().replace(b'"a"', b'"\xff\xfe"'),
        "invalid UTF-8 in a name": event().replace(b'"label"', b'"lab\xe9l"'),
        "lone surrogate": event().replace(b'"a"', b'"\\ud800"'),
        "deep nesting": b'{"event_id":' + b"[" * deep + b"]" * deep + b"}",
        "deep nesting, open": b'{"a":' * deep,
        "deep nesting in a feature": event(features=0).replace(b"0", b'{"amount": ' + b"[" * 5000 + b"]" * 5000 + b"}"),
        "no label": event(label=...),
        "label null": event(label=None),
        "label empty": event(label=""),
        "label a list": event(label=["a"]),
        "label too long": event(label="x" * 257),
        "label of a megabyte": event(label="x" * MEGABYTE),
        "label of 5,000 digits": event(label=0).replace(b'"label": 0', b'"label": ' + b"9" * 5000),
        "label a fraction": event(label=1.5),
        "no event_id": event(event_id=...),
        "event_id empty": event(event_id=""),
        "event_id a number": event(event_id=7),
        "no features": event(features=...),
        "features null": event(features=None),
        "feature missing": event(features=features(x=...)),
        "feature null": event(features=features(amount=None)),
        "feature a text": event(features=features(amount="1")),
        "vector too short": event(features=features(x=[0.0] * (WIDTH - 1))),
        "vector too long": event(features=features(x=[0.0] * (WIDTH + 1))),
        "vector of a million": event(features=features(x=[0] * MEGABYTE)),
        "vector with null": event(features=features(x=[None] * WIDTH)),
        "number NaN": event(features=features(amount=float("nan"))),
        "number infinite": event(features=features(amount=float("-inf"))),
        "number beyond float64": event(features=features(amount=0)).replace(b'"amount": 0', b'"amount": 1e999'),
        "number of 400 digits": event(features=features(amount=0)).replace(b'"amount": 0', b'"amount": ' + b"9" * 400),
        "number beyond float32 in a vector": event(features=features(x=[1e39] + [0.0] * (WIDTH - 1))),
        "NaN in a vector": event(features=features(x=[float("nan")] * WIDTH)),
        "weight zero": event(weight=0),
        "weight negative": event(weight=-1.0),
        "weight infinite": event(weight=float("inf")),
        "instant without a zone": event(occurred_at="2024-01-01T00:00:00"),
        "instant of a year too long": event(occurred_at="99999-01-01T00:00:00Z"),
        "retraction of nothing": event(retracts=""),
        "retraction of a place below zero": event(retracts={"topic": "t", "partition": -1, "offset": 0}),
        "ten megabytes": event(label="a" * 10 * MEGABYTE),
    }.items()}  # fmt: skip


def other_poison() -> dict[str, Poison]:
    """Control events and unknown content."""
    control: Headers = [("content-type", b"application/vnd.penstock.control+json")]
    return {
        "unknown content type": Poison(b"name,amount", [("content-type", b"text/csv")]),
        "control that is none": Poison(b"[]", control),
        "control with a misspelt field": Poison(b'{"control": "retire", "clases": ["a"]}', control),
        "import of no packet": Poison(b'{"control": "import", "packet": "AAAA!"}', control),
        "Arrow type, JSON content": Poison(b"[1, 2]", ARROW),
    }


def arrow_poison() -> dict[str, Poison]:
    """Streams that lie about their size, or hold what is no event; each is refused whole."""
    plain, squeezed = stream(), stream(compression="zstd")
    return {
        "rows beyond the limit, compressed to nothing": Poison(_many_rows(), ARROW),
        "a buffer that claims a terabyte": Poison(_claiming(squeezed, 1 << 40), ARROW),
        "a buffer that claims less than nothing": Poison(_claiming(squeezed, -(1 << 40)), ARROW),
        "a buffer that claims half a gigabyte": Poison(_claiming(squeezed, 1 << 29), ARROW),
        "a flipped continuation marker": Poison(b"\xff\xff\xff\xfe" + plain[4:], ARROW),
        "a header that is longer than the stream": Poison(plain[:4] + struct.pack("<i", 1 << 30) + plain[8:], ARROW),
        "the old format without markers": Poison(plain[4:], ARROW),
        "compressed data that is none": Poison(_spoilt(squeezed), ARROW),
    }


def truncated(content: bytes) -> Iterator[bytes]:
    """The stream cut at every length but those at which it is whole: between two of its parts, or at its end mark."""
    yield from (content[:length] for length in range(1, len(content) - 8) if content[length : length + 4] != MAGIC)


def _many_rows() -> bytes:
    batch = pa.RecordBatch.from_arrays([pa.array(np.zeros(MAX_ROWS + 1))], names=["amount"])
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema, options=pa.ipc.IpcWriteOptions(compression="zstd")) as writer:
        writer.write_batch(batch)
    content: bytes = sink.getvalue().to_pybytes()
    assert len(content) < MAX_ROWS // 100, "it is a bomb"
    return content


def _claiming(content: bytes, size: int) -> bytes:
    """The buffer of the numbers `amount` with another length once decompressed."""
    honest = struct.pack("<q", 20 * 8)
    at = content.rindex(honest)
    return content[:at] + struct.pack("<q", size) + content[at + 8 :]


def _spoilt(content: bytes) -> bytes:
    at = content.rindex(struct.pack("<q", 20 * 8)) + 8
    return content[:at] + bytes(byte ^ 0x5A for byte in content[at : at + 8]) + content[at + 8 :]
