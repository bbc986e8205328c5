"""Named columns become rows of one fixed width, the same in every process, whatever words turn up."""

import subprocess
import sys
import tracemalloc
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from labelled_rows import event_batch
from penstock.features import Feature, FeatureSchema
from penstock.learning.config import BackboneConfig
from penstock.learning.encoder import Encoder, EncoderConstants
from penstock.learning.rows import EncodedRows, columns_of

MLP, TEXT = BackboneConfig(), BackboneConfig(kind="text", max_tokens=4, embedding_buckets=100)
NUMBER = Feature(name="paid_at", kind="number")
VECTOR = Feature(name="pixels", kind="vector", width=3)
CATEGORY = Feature(name="country", kind="category", buckets=16)
WORDS = Feature(name="subject", kind="text", buckets=64)


def encoder_of(*features: Feature, backbone: BackboneConfig = MLP) -> Encoder:
    return Encoder(FeatureSchema(features=features), backbone)


def strings(*values: str) -> pa.Array:
    return pa.array(values, type=pa.string())


def test_the_dense_row_holds_numbers_then_vectors_then_hashed_columns() -> None:
    encoder = encoder_of(WORDS, VECTOR, CATEGORY, NUMBER)
    columns = {
        "subject": strings("", ""),
        "pixels": np.array([[1, 2, 3], [4, 5, 6]], dtype=np.float32),
        "country": strings("at", "at"),
        "paid_at": np.array([7.0, 8.0]),
    }
    rows = encoder.encode(columns)
    assert rows.dense.shape == (2, encoder.dense_width) == (2, 1 + 3 + 16 + 64)
    assert rows.dense.dtype == np.float32
    assert rows.tokens.shape == (2, 0)
    assert rows.dense[:, 0].tolist() == [7, 8]
    assert rows.dense[:, 1:4].tolist() == columns["pixels"].tolist()
    assert np.abs(rows.dense[:, 4:20]).sum(axis=1).tolist() == [1, 1]
    assert not rows.dense[:, 20:].any()


def test_seconds_since_1970_keep_their_milliseconds() -> None:
    seconds = 1_769_860_800.0 + np.array([0.0, 0.001, 0.002])
    encoder = encoder_of(NUMBER).fitted_to({"paid_at": seconds})
    encoded = encoder.encode({"paid_at": seconds}).dense[:, 0]
    assert np.diff(encoded) == pytest.approx([0.001, 0.001], rel=1e-3)


def test_numbers_beyond_float32_are_clipped_and_stay_finite() -> None:
    extremes = np.array([1.7e308, -1.7e308, 1e300, 0.0])
    for origin in extremes:
        encoder = encoder_of(NUMBER).fitted_to({"paid_at": np.array([origin])})
        assert np.isfinite(encoder.encode({"paid_at": extremes}).dense).all()


def test_a_vector_has_one_origin_and_one_scale_from_the_first_batch_and_keeps_them() -> None:
    first = np.array([[0, 2, 4], [4, 2, 0]], dtype=np.float32)
    encoder = encoder_of(VECTOR).fitted_to({"pixels": first})
    encoded = encoder.encode({"pixels": first}).dense
    assert encoded.mean() == pytest.approx(0, abs=1e-6)
    assert encoded.std() == pytest.approx(1)
    assert encoder.is_fitted
    assert encoder.fitted_to({"pixels": 100 * first}).constants == encoder.constants


def test_a_vector_that_does_not_vary_fixes_nothing_yet() -> None:
    blank = np.zeros((2, 3), dtype=np.float32)
    encoder = encoder_of(VECTOR).fitted_to({"pixels": blank})
    assert not encoder.is_fitted
    assert not encoder.encode({"pixels": blank}).dense.any()


def test_an_absurd_vector_element_is_clipped() -> None:
    encoder = encoder_of(VECTOR).fitted_to({"pixels": np.array([[0, 1, 2]], dtype=np.float32)})
    encoded = encoder.encode({"pixels": np.array([[3e38, -3e38, 1]], dtype=np.float32)}).dense
    assert encoded.tolist() == [pytest.approx([100, -100, 0], abs=1e-3)]


def test_a_category_is_one_signed_entry_that_a_new_category_does_not_move() -> None:
    encoder = encoder_of(CATEGORY)
    before = encoder.encode({"country": strings("at", "de")}).dense
    after = encoder.encode({"country": strings("zz", "de", "at", "de")}).dense
    assert np.abs(before).sum(axis=1).tolist() == [1, 1]
    assert after[[2, 1]].tolist() == before.tolist()
    assert after[1].tolist() == after[3].tolist()


def test_both_signs_and_every_bucket_are_used() -> None:
    dense = encoder_of(CATEGORY).encode({"country": strings(*(f"c{number}" for number in range(500)))}).dense
    assert (np.abs(dense).sum(axis=0) > 0).all()
    assert 0.35 < (dense.sum(axis=1) > 0).mean() < 0.65


@pytest.mark.parametrize("num_words", [500, 2000, 8000])
def test_words_share_a_column_as_seldom_as_chance_has_it(num_words: int) -> None:
    """One of n among D columns: 1 − e^(−n/D)."""
    buckets = 4096
    encoder = encoder_of(Feature(name="country", kind="category", buckets=buckets))
    dense = encoder.encode({"country": strings(*(f"c{number}" for number in range(num_words)))}).dense
    columns = np.abs(dense).argmax(axis=1)
    shared = np.mean(np.bincount(columns, minlength=buckets)[columns] > 1)
    assert shared == pytest.approx(1 - np.exp(-num_words / buckets), abs=0.05)


def test_two_columns_hash_the_same_word_apart() -> None:
    words = strings(*(f"w{number}" for number in range(50)))
    other = Feature(name="city", kind="category", buckets=16)
    dense = encoder_of(CATEGORY, other).encode({"country": words, "city": words}).dense
    assert (dense[:, :16] != dense[:, 16:]).any(axis=1).mean() > 0.8


def test_long_categories_and_words_leave_nothing_in_memory() -> None:
    """A service that answers for months meets them one by one, each another."""
    encoder, size = encoder_of(CATEGORY, WORDS), 100_000
    tracemalloc.start()
    try:
        for number in range(30):
            column = strings(f"{number:03d}" + "x" * size)
            first, again = (encoder.encode({"country": column, "subject": column}).dense for _ in range(2))
            assert np.array_equal(first, again)
            assert np.abs(first).sum() == 2
        assert tracemalloc.get_traced_memory()[0] < 10 * size
    finally:
        tracemalloc.stop()


def test_words_are_lower_cased_and_neighbours_count_as_pairs() -> None:
    encoder = encoder_of(Feature(name="subject", kind="text", buckets=4096))
    shout, plain, turned, lone = encoder.encode({"subject": strings("Buy NOW!", "buy, now", "now buy", "buy")}).dense
    assert shout.tolist() == plain.tolist()
    assert turned.tolist() != plain.tolist()
    assert np.count_nonzero(plain) == 3
    assert np.count_nonzero(lone) == 1
    assert np.linalg.norm(plain) == pytest.approx(1)


def test_pairs_do_not_cross_from_one_event_to_the_next() -> None:
    encoder = encoder_of(WORDS)
    together = encoder.encode({"subject": strings("red", "blue", "", "green sea")}).dense
    alone = [encoder.encode({"subject": strings(text)}).dense[0] for text in ("red", "blue", "", "green sea")]
    assert together.tolist() == np.array(alone).tolist()


@pytest.mark.parametrize(
    "text", ["größe Ñandú", "दिल्ली में", "привет мир", "東京 タワー", "“buy”—now", "買う。今", "5 €3", "كيف؟ حال"]
)
def test_words_of_any_script_are_words(text: str) -> None:
    dense = encoder_of(Feature(name="subject", kind="text", buckets=4096)).encode({"subject": strings(text)}).dense
    assert np.count_nonzero(dense) == 3


def test_text_of_no_words_is_all_zeros() -> None:
    assert not encoder_of(WORDS).encode({"subject": strings("", " ", "?!")}).dense.any()


def test_token_ids_are_the_first_words_padded_with_zero() -> None:
    encoder = encoder_of(WORDS, NUMBER, backbone=TEXT)
    texts = strings("one two", "", "two one two one two one", "Two")
    rows = encoder.encode({"subject": texts, "paid_at": np.zeros(4)})
    one, two = rows.tokens[0, :2].tolist()
    assert rows.tokens.dtype == np.int32
    assert rows.tokens.tolist() == [[one, two, 0, 0], [0, 0, 0, 0], [two, one, two, one], [two, 0, 0, 0]]
    assert {one, two} <= set(range(1, 101))
    assert rows.dense.shape == (4, 1)


def test_hashes_are_the_same_in_every_process() -> None:
    code = (
        "import pyarrow as pa; from penstock.features import *; from penstock.learning.encoder import Encoder;"
        "from penstock.learning.config import BackboneConfig as B;"
        "e = Encoder(FeatureSchema(features=(Feature(name='country', kind='category', buckets=16),)), B());"
        "print(e.encode({'country': pa.array(['at', 'de', 'ø'])}).dense.nonzero()[1].tolist())"
    )
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    here = encoder_of(CATEGORY).encode({"country": strings("at", "de", "ø")}).dense.nonzero()[1].tolist()
    assert printed.strip() == str(here)


@given(st.lists(st.text(max_size=30), min_size=1, max_size=20), st.integers(0, 20))
def test_any_text_encodes_and_each_row_on_its_own(texts: list[str], cut: int) -> None:
    encoder = encoder_of(WORDS, CATEGORY)
    columns = {"subject": pa.array(texts, pa.string()), "country": pa.array(texts, pa.string())}
    whole = encoder.encode(columns)
    parts = [
        encoder.encode({name: column.slice(start, size) for name, column in columns.items()})
        for start, size in ((0, cut), (cut, len(texts)))
        if start < len(texts) and size
    ]
    assert np.isfinite(whole.dense).all()
    assert EncodedRows.joined(parts).dense.tolist() == whole.dense.tolist()


def test_many_threads_encode_at_once() -> None:
    encoder = encoder_of(WORDS)
    texts = [strings(*(f"word{(seed * place) % 997} more" for place in range(200))) for seed in range(1, 33)]
    expected = [encoder_of(WORDS).encode({"subject": text}).dense for text in texts]
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda text: encoder.encode({"subject": text}).dense, texts))
    assert all(np.array_equal(one, other) for one, other in zip(expected, found, strict=True))


def test_columns_of_a_slice_of_events_are_those_of_its_rows() -> None:
    schema = FeatureSchema(features=(VECTOR, NUMBER, CATEGORY))
    pixels = np.arange(30, dtype=np.float32).reshape(10, 3)
    values = {
        "pixels": pixels,
        "paid_at": np.arange(10.0),
        "country": [f"c{number}" for number in range(10)],
    }
    events = event_batch(schema, values, ["a"] * 10).events
    columns = columns_of(events.slice(4, 3), schema)
    assert columns["pixels"].tolist() == pixels[4:7].tolist()
    assert columns["paid_at"].tolist() == [4, 5, 6]
    assert columns["country"].to_pylist() == ["c4", "c5", "c6"]


def test_constants_survive_json_to_the_last_bit() -> None:
    constants = EncoderConstants(origins={"paid_at": 0.1 + 0.2}, scales={"pixels": 1 / 3})
    assert EncoderConstants.from_json(constants.to_json()) == constants


def test_rows_that_leave_float64_on_their_way_from_another_encoder_are_as_far_as_rows_can_be() -> None:
    schema = FeatureSchema(features=(Feature(name="amount", kind="number"), Feature(name="x", kind="vector", width=2)))
    there = EncoderConstants(origins={"amount": 1.7e308, "x": 1.7e308}, scales={"x": 1e-100})
    here = EncoderConstants(origins={"amount": -1.7e308, "x": -1.0}, scales={"x": 1e3})
    encoder = Encoder(schema, BackboneConfig(), here)
    assert encoder.recode(np.array([[1.0, -1e3, 1e3]]), there).tolist() == [[np.float32(1e37), 100.0, 100.0]]
