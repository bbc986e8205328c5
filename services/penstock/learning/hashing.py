"""Words and categories to 64-bit hashes: the same in every process, and room for words nobody has seen yet."""

import hashlib
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

Int64s = npt.NDArray[np.int64]
UInt64s = npt.NDArray[np.uint64]

_CACHED_TOKENS = 65_536
_LONGEST_CACHED_BYTES = 256
"""A word is far shorter, and what is longer seldom comes again: remembered, a million of each would fill the memory."""
_NOT_A_WORD = (
    "["
    r"\x00-/:-@\[-^`{-\x7f"  # ASCII but letters, digits and _
    r"\x{80}-\x{a9}\x{ab}-\x{b1}\x{b4}\x{b6}-\x{b8}\x{bb}\x{bf}\x{d7}\x{f7}"  # Latin-1 signs
    r"\x{60c}\x{61b}\x{61f}\x{964}\x{965}"  # Arabic and Indic stops
    r"\x{2000}-\x{200b}\x{200e}-\x{206f}"  # spaces, dashes, quotes, but not the joiners within words
    r"\x{20a0}-\x{20cf}\x{2190}-\x{2bff}\x{2e00}-\x{2e7f}"  # currencies, arrows, symbols
    r"\x{3000}-\x{3004}\x{3008}-\x{3020}\x{3030}\x{fe30}-\x{fe4f}"  # East Asian punctuation
    r"\x{ff01}-\x{ff0f}\x{ff1a}-\x{ff20}\x{ff3b}-\x{ff3e}\x{ff40}\x{ff5b}-\x{ff65}"  # the same, wide and half-wide
    "]+"
)
"""Ranges, since Arrow compiles a pattern at every call: 20 µs for these, 1.3 ms for Unicode's own classes."""


class TokenHasher:
    """blake2b of (feature name, token), remembered for a bounded number of short tokens.

    Safe to share between threads: two may compute the same hash, and both compute it right.
    """

    def __init__(self, feature_name: str) -> None:
        self._key = hashlib.blake2b(feature_name.encode(), digest_size=16).digest()
        self._known: dict[str, int] = {}

    def hash_distinct(self, tokens: Any) -> tuple[Int64s, UInt64s]:
        """For a pyarrow string array [n]: for each element its place in the second array, the distinct hashes."""
        encoded = tokens.dictionary_encode()
        distinct = encoded.dictionary.to_pylist()
        hashes = np.fromiter((self._hash(token) for token in distinct), dtype=np.uint64, count=len(distinct))
        return encoded.indices.to_numpy().astype(np.int64), hashes

    def _hash(self, token: str) -> int:
        known = self._known.get(token)
        if known is None:
            content = token.encode()
            known = int.from_bytes(hashlib.blake2b(content, digest_size=8, key=self._key).digest(), "little")
            if len(content) <= _LONGEST_CACHED_BYTES:
                self._remember(token, known)
        return known

    def _remember(self, token: str, known: int) -> None:
        if len(self._known) >= _CACHED_TOKENS:
            self._known.clear()
        self._known[token] = known


def buckets_and_signs(hashes: UInt64s, buckets: int) -> tuple[Int64s, npt.NDArray[np.float32]]:
    """Signed hashing (Weinberger et al., ICML 2009): the column by the low bits, the sign by the top bit."""
    columns = (hashes % np.uint64(buckets)).astype(np.int64)
    signs = np.where(hashes >> np.uint64(63), np.float32(-1), np.float32(1))
    return columns, signs


def words_of(texts: Any) -> tuple[Any, Int64s]:
    """Lower-cased words (what stands between spaces and signs) of a pyarrow string array [n], flat, and their rows."""
    words = pc.split_pattern_regex(pc.utf8_lower(texts), _NOT_A_WORD)
    lengths = pc.list_value_length(words).to_numpy().astype(np.int64)
    flat = words.flatten()
    rows = np.repeat(np.arange(len(texts), dtype=np.int64), lengths)
    present = pc.not_equal(flat, "")
    return flat.filter(present), rows[present.to_numpy(zero_copy_only=False)]


def with_bigrams(words: Any, rows: Int64s) -> tuple[Any, Int64s]:
    """The words and, after them, every two neighbours within a row joined by a space; with their rows."""
    if len(words) < 2:
        return words, rows
    neighbours = rows[:-1] == rows[1:]
    pairs = pc.binary_join_element_wise(words.slice(0, len(words) - 1), words.slice(1), " ")
    kept = pairs.filter(pa.array(neighbours))
    return pa.concat_arrays([words, kept]), np.concatenate((rows, rows[:-1][neighbours]))
