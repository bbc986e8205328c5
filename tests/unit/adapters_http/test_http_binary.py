"""Binary tensors and packed bodies: what does not fit is named, and bounds hold."""

import gzip
import json
import tracemalloc
import zlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from http_replica import HttpReplica, http_replica
from penstock.adapters.http.compression import accepted, inflated
from penstock.serving.refusals import TooLargeError
from served_models import MIXED, PIXELS, served

ROW = np.random.default_rng(4).normal(size=(1, 64)).astype(np.float32)
INFER = "/v2/models/digits/infer"


@pytest.fixture(scope="module")
def replica() -> Iterator[HttpReplica]:
    with http_replica(PIXELS, max_body_bytes=20_000) as running:
        running.slot.current = served(3)
        yield running


def tensor(size: object = ROW.nbytes, **changes: object) -> dict[str, object]:
    described = {"name": "pixels", "shape": [1, 64], "datatype": "FP32", "parameters": {"binary_data_size": size}}
    return described | changes


def asked(
    replica: HttpReplica, inputs: object, binary: bytes = ROW.tobytes(), length: object = None, **more: object
) -> tuple[int, Any]:
    text = json.dumps({"inputs": inputs, **more}).encode()
    said = str(len(text) if length is None else length)
    status, answer, _ = replica.ask("POST", INFER, text + binary, {"Inference-Header-Content-Length": said})
    return status, answer


def test_a_binary_input_gets_a_json_answer_unless_binary_is_asked_for(replica: HttpReplica) -> None:
    assert asked(replica, [tensor()])[1]["outputs"][0]["data"]
    text = json.dumps({"inputs": [tensor()], "outputs": [{"name": "label", "parameters": {"binary_data": True}}]})
    headers = {"Inference-Header-Content-Length": str(len(text))}
    status, answer, given_back = replica.ask("POST", INFER, text.encode() + ROW.tobytes(), headers)
    length = int(given_back["inference-header-content-length"])
    assert status == 200
    assert given_back["content-type"] == "application/octet-stream"
    (output,) = json.loads(answer[:length])["outputs"]
    assert output["parameters"] == {"binary_data_size": len(answer) - length}
    assert "data" not in output
    assert answer[length:][:4] == b"\x02\x00\x00\x00"


BAD: dict[str, tuple[dict[str, Any], list[str]]] = {
    "too little": ({"binary": ROW.tobytes()[:-4]}, ["'pixels' begins at byte 0", "takes 256; there are 252"]),
    "too much": ({"binary": ROW.tobytes() + b"x"}, ["take 256 bytes", "257 follow"]),
    "nothing announced": ({"inputs": [tensor(parameters={}, data=[0.5] * 64)]}, ["take 0 bytes", "256 follow"]),
    "a size that is not the shape's": ({"inputs": [tensor(shape=[1, 63])]}, ["'pixels' holds 256 bytes", "252"]),
    "another datatype": ({"inputs": [tensor(datatype="FP64")]}, ["'pixels'", "FP64", "takes 512"]),
    "an unknown datatype": ({"inputs": [tensor(datatype="FP8")]}, ["'pixels'", "'FP8'", "known are"]),
    "a size that is a text": ({"inputs": [tensor("256")]}, ["binary_data_size '256'", "number of bytes"]),
    "a negative size": ({"inputs": [tensor(-1)]}, ["binary_data_size -1"]),
    "both": ({"inputs": [tensor(data=[1])]}, ["both data and binary_data_size"]),
    "neither": ({"inputs": [tensor(parameters={})], "binary": b""}, ["'pixels' has no data"]),
    "NaN": ({"binary": np.full(64, np.nan, dtype=np.float32).tobytes()}, ["'pixels' holds nan", "finite"]),
    "infinity": ({"binary": np.full(64, -np.inf, dtype=np.float32).tobytes()}, ["'pixels' holds -inf", "finite"]),
    "a boolean that is neither": (
        {"inputs": [tensor(64, datatype="BOOL")], "binary": b"\x02" * 64},
        ["'pixels' holds 2", "BOOL"],
    ),
    "a header beyond the body": ({"length": 100_000}, ["Inference-Header-Content-Length", "'100000'", "at most"]),
    "a header that is no number": ({"length": "many"}, ["Inference-Header-Content-Length", "'many'"]),
    "a header that cuts the JSON": ({"length": 20}, ["not JSON"]),
}


@pytest.mark.parametrize("name", BAD)
def test_bytes_that_do_not_fit_are_answered_400_with_what_is_expected(replica: HttpReplica, name: str) -> None:
    changes, fragments = BAD[name]
    status, answer = asked(replica, **({"inputs": [tensor()]} | changes))
    assert status == 400, answer
    assert list(answer) == ["error"]
    for fragment in fragments:
        assert fragment in answer["error"]


@pytest.mark.parametrize("around", ["%d ", "\t%d", "  %d \t"])
def test_space_around_the_header_means_nothing(replica: HttpReplica, around: str) -> None:
    """RFC 9110, section 5.5."""
    length = len(json.dumps({"inputs": [tensor()]}))
    assert asked(replica, [tensor()], length=around % length)[0] == 200


def test_a_binary_input_without_the_header_is_named(replica: HttpReplica) -> None:
    status, answer = replica.infer({"inputs": [tensor()]})
    assert status == 400
    assert "the header Inference-Header-Content-Length is missing" in answer["error"]


@pytest.fixture(scope="module")
def mixed() -> Iterator[HttpReplica]:
    with http_replica(MIXED) as running:
        running.slot.current = served(2, MIXED)
        yield running


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_a_binary_body_cut_or_changed_anywhere_is_answered_200_or_400(mixed: HttpReplica, data: st.DataObject) -> None:
    texts = b"\x02\x00\x00\x00de\x00\x00\x00\x00"
    parts = {"amount": ("FP64", [2], 16), "x": ("FP16", [2, 3], 12), "note": ("BYTES", [2, 1], len(texts))}
    inputs: list[dict[str, Any]] = [
        {"name": name, "datatype": datatype, "shape": shape, "parameters": {"binary_data_size": size}}
        for name, (datatype, shape, size) in parts.items()
    ]
    inputs.append({"name": "country", "datatype": "BYTES", "shape": [2], "data": ["de", "fr"]})
    text = json.dumps({"inputs": inputs}).encode()
    body = bytearray(text + np.ones(2).tobytes() + np.ones(6, dtype=np.float16).tobytes() + texts)
    for _ in range(data.draw(st.integers(0, 3))):
        body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(body)) | st.just(len(body)))
    said = data.draw(st.just(len(text)) | st.integers(-2, len(body) + 2))
    headers = {"Inference-Header-Content-Length": str(said)}
    status, answer, _ = mixed.ask("POST", "/v2/models/mixed/infer", bytes(body[:cut]), headers)
    assert status in (200, 400), answer
    assert mixed.telemetry.value("penstock_requests_total", code="500") == 0


GOOD = json.dumps(
    {"inputs": [{"name": "pixels", "shape": [1, 64], "datatype": "FP32", "data": ROW.ravel().tolist()}]}
).encode()
BARE = zlib.compress(GOOD)[2:-4]


@pytest.mark.parametrize(
    ("encoding", "body", "status", "fragment"),
    [
        ("gzip", gzip.compress(GOOD), 200, ""),
        ("x-gzip", gzip.compress(GOOD), 200, ""),
        ("GZIP", gzip.compress(GOOD), 200, ""),
        ("deflate", zlib.compress(GOOD), 200, ""),
        ("deflate", BARE, 200, ""),
        ("identity", GOOD, 200, ""),
        ("gzip", GOOD, 400, "not gzip"),
        ("gzip", b"", 400, "ends too early"),
        ("gzip", gzip.compress(GOOD)[:-9], 400, "ends too early"),
        ("gzip", gzip.compress(GOOD[:99]) + gzip.compress(b"") + gzip.compress(GOOD[99:]), 200, ""),
        ("gzip", b"".join(gzip.compress(GOOD[at : at + 9]) for at in range(0, len(GOOD), 9)), 200, ""),
        ("gzip", gzip.compress(GOOD) + gzip.compress(b"")[:-1], 400, "ends too early"),
        ("gzip", gzip.compress(GOOD) + b"\x1f", 400, "ends too early"),
        ("gzip", gzip.compress(GOOD) + b"\x1f{}", 400, "something follows"),
        ("gzip", gzip.compress(GOOD) + GOOD, 400, "something follows"),
        ("gzip", gzip.compress(GOOD) + bytes(8), 400, "something follows"),
        ("deflate", zlib.compress(GOOD) * 2, 400, "something follows"),
        ("deflate", BARE * 2, 400, "something follows"),
        ("deflate", gzip.compress(GOOD), 400, "not deflate"),
        ("br", GOOD, 415, "'br'"),
        ("gzip, gzip", GOOD, 415, "'gzip, gzip'"),
    ],
)
def test_a_packed_body_is_unpacked_or_named(
    replica: HttpReplica, encoding: str, body: bytes, status: int, fragment: str
) -> None:
    answered, answer, _ = replica.ask("POST", INFER, body, {"Content-Encoding": encoding})
    assert answered == status, answer
    assert fragment in answer.get("error", "")


def test_a_small_body_that_unpacks_without_end_stops_at_the_limit(replica: HttpReplica) -> None:
    bomb = gzip.compress(bytes(15_000_000))
    assert len(bomb) < 20_000
    status, answer, _ = replica.ask("POST", INFER, bomb, {"Content-Encoding": "gzip"})
    assert status == 413
    assert "20000 bytes once unpacked" in answer["error"]
    halves = gzip.compress(bytes(10_001)) * 2
    assert replica.ask("POST", INFER, halves, {"Content-Encoding": "gzip"})[0] == 413
    tracemalloc.start()
    with pytest.raises(TooLargeError):
        inflated(bomb, "gzip", 20_000)
    assert tracemalloc.get_traced_memory()[1] < 1_000_000
    tracemalloc.stop()


def test_a_large_answer_is_packed_for_those_who_take_it() -> None:
    with http_replica(PIXELS) as replica:
        replica.slot.current = served(3)
        body = {"inputs": [{"name": "pixels", "shape": [200, 64], "datatype": "INT8", "data": [1] * 12_800}]}
        text = json.dumps(body | {"outputs": [{"name": "probabilities"}]}).encode()
        _, plain, headers = replica.ask("POST", INFER, text)
        assert "content-encoding" not in headers
        connection = replica.connect()
        for encoding, unpack in (("gzip", gzip.decompress), ("deflate", zlib.decompress)):
            connection.request("POST", INFER, text, {"Accept-Encoding": f"br, {encoding};q=0.5"})
            response = connection.getresponse()
            assert response.headers["content-encoding"] == encoding
            assert json.loads(unpack(response.read())) == plain
        connection.close()


def test_what_a_client_accepts_is_read_as_the_standard_says() -> None:
    offers = {"gzip": "gzip", "br, deflate": "deflate", "gzip;q=0, deflate;q=0.1": "deflate", "gzip;q=0.000": None}
    assert {offer: accepted(offer) for offer in [*offers, "", "identity", "*"]} == offers | {
        "": None,
        "identity": None,
        "*": None,
    }
