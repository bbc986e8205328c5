"""Numbers for event ids: the same for the same text, whatever stands around it."""

import subprocess
import sys
import uuid

import numpy as np
import pyarrow as pa

from penstock.wire.event_keys import LONG_BYTES, keys_of

AWKWARD = ["a", "b", "", "ab", "a\0", "\0a", "é", "x" * LONG_BYTES, "x" * (LONG_BYTES + 1), "y" * 100_000]


def test_a_key_depends_on_the_text_alone_not_on_its_neighbours_or_on_where_the_array_begins() -> None:
    together = keys_of(pa.array(AWKWARD))
    assert len(set(together.tolist())) == len(AWKWARD)
    alone = [int(keys_of(pa.array([text]))[0]) for text in AWKWARD]
    assert together.tolist() == alone
    sliced = keys_of(pa.array(["before", *AWKWARD, "after"]).slice(1, len(AWKWARD)))
    assert sliced.tolist() == alone
    assert len(keys_of(pa.array([], pa.string()))) == 0


def test_ids_of_every_common_make_keep_apart() -> None:
    count = 100_000
    made = [str(number) for number in range(count)]
    made += [f"order-{number:012d}" for number in range(count)]
    made += [str(uuid.UUID(int=number)) for number in range(count)]
    keys = keys_of(pa.array(made))
    assert len(np.unique(keys)) == len(made)
    ones = np.unpackbits(keys.view(np.uint8).reshape(-1, 8), axis=1).mean(axis=0)
    assert np.abs(ones - 0.5).max() < 0.01, "every bit is as often set as not"


def test_another_process_says_the_same() -> None:
    program = (
        "import pyarrow as pa; from penstock.wire.event_keys import keys_of; print(int(keys_of(pa.array(['e-1']))[0]))"
    )
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True, text=True).stdout
    assert int(said) == int(keys_of(pa.array(["e-1"]))[0])
