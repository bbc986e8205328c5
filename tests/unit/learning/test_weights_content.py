"""A weights file is digested stretch by stretch, and the digest of a changed one goes on where the change begins."""

import hashlib
import os

import pytest

from penstock.learning.weights_content import CHUNK_BYTES, MOST_STEPS, Digest, MemoryContent
from penstock.make_way import STEP_BYTES

CONTENT = os.urandom(CHUNK_BYTES * 5 + 12_345)


@pytest.mark.parametrize("size", [0, 1, STEP_BYTES, STEP_BYTES + 1, CHUNK_BYTES, CHUNK_BYTES * 2 - 1, len(CONTENT)])
def test_it_is_the_sha256_of_all_bytes_whatever_their_number(size: int) -> None:
    content = CONTENT[:size]
    assert Digest(MemoryContent(content)).hexdigest == hashlib.sha256(content).hexdigest()


@pytest.mark.parametrize("at", [0, 7, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES * 3 + 5, len(CONTENT) - 1])
@pytest.mark.parametrize("more", [b"", b"more", b"x" * CHUNK_BYTES])
def test_of_a_changed_one_what_lies_before_the_change_is_not_read_again(at: int, more: bytes) -> None:
    changed = CONTENT[:at] + bytes([CONTENT[at] ^ 1]) + CONTENT[at + 1 :] + more

    class Late(MemoryContent):
        def read_into(self, offset: int, into: memoryview) -> None:
            assert offset >= at // CHUNK_BYTES * CHUNK_BYTES
            super().read_into(offset, into)

    found = Digest(MemoryContent(CONTENT)).with_changes_from(at, Late(changed))
    assert found == hashlib.sha256(changed).hexdigest()


@pytest.mark.parametrize(
    ("size", "times"), [(STEP_BYTES, 1), (STEP_BYTES * 7, 7), (CHUNK_BYTES, 16), (len(CONTENT), MOST_STEPS)]
)
def test_others_are_let_in_between_small_steps_and_not_too_often(size: int, times: int) -> None:
    calls: list[None] = []
    Digest(MemoryContent(CONTENT[:size]), lambda: calls.append(None))
    assert len(calls) == pytest.approx(times, abs=1)
