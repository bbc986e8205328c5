"""Failpoints: free while nothing is armed, and at the pass that was asked for when something is."""

import errno
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path

import pytest

from penstock import failpoints
from penstock.errors import ConfigurationError
from penstock.failpoints import NAMES
from penstock.settings import failpoints_named

PACKAGE = Path(failpoints.__file__).parent


@pytest.fixture(autouse=True)
def _disarmed() -> Iterator[None]:
    yield
    failpoints.arm("")


def test_nothing_happens_and_nothing_is_counted_unless_something_is_armed() -> None:
    unarmed = failpoints.reach
    failpoints.arm(failpoints_named({}))
    assert failpoints.reach is unarmed
    failpoints.arm("checkpoint.renamed=eio")
    assert failpoints.reach is not unarmed
    failpoints.arm("")
    assert failpoints.reach is unarmed


@pytest.mark.parametrize(
    ("armed", "fails_at"), [("eio", [1]), ("eio@3", [3]), ("eio@2+", [2, 3, 4, 5]), ("enospc@5", [5])]
)
def test_it_happens_at_the_pass_that_is_named(armed: str, fails_at: list[int]) -> None:
    failpoints.arm(f"claim.begun=kill@9, checkpoint.written={armed}")
    number = errno.EIO if armed.startswith("eio") else errno.ENOSPC
    for each in range(1, 6):
        failpoints.reach("checkpoint.renamed")
        with pytest.raises(OSError, match=os.strerror(number)) if each in fails_at else nullcontext():
            failpoints.reach("checkpoint.written")


def test_a_kill_is_kill_9() -> None:
    code = "from penstock import failpoints\nfailpoints.arm('swap.built=kill@2')\n"
    code += "for _ in range(3):\n    print(flush=True)\n    failpoints.reach('swap.built')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
    assert (done.returncode, done.stdout) == (-9, b"\n\n")


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("checkpoint.renamed", "checkpoint.renamed"),
        ("checkpoint.renamed=kill@0", "kill@0"),
        ("checkpoint.remaned=kill", "checkpoint.remaned"),
        ("checkpoint.renamed=explode", "explode"),
    ],
)
def test_a_mistake_gets_a_sentence_that_names_it(text: str, named: str) -> None:
    with pytest.raises(ConfigurationError, match=re.escape(named)):
        failpoints.arm(failpoints_named({"PENSTOCK_FAILPOINTS": text}))


def test_each_name_stands_at_one_place_in_the_code() -> None:
    reached = [
        name
        for file in PACKAGE.rglob("*.py")
        for name in re.findall(r'failpoints\.reach\("([\w.]+)"\)', file.read_text(encoding="utf-8"))
        if file.name != "failpoints.py"
    ]
    assert sorted(reached) == sorted(NAMES)
