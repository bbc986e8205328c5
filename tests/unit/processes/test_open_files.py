"""How many connections a process may hold: as many as the system allows it, and a sentence where that is little."""

import json
import resource
import subprocess
import sys

import pytest

CODE = """
import resource, sys
from penstock.processes import logs, open_files
resource.setrlimit(resource.RLIMIT_NOFILE, (int(sys.argv[1]), int(sys.argv[2])))
logs.configure()
print(open_files.allow_many(), resource.getrlimit(resource.RLIMIT_NOFILE)[0])
"""


@pytest.mark.parametrize(("soft", "hard", "warned"), [(64, 512, True), (512, 512, True), (256, 4096, False)])
def test_the_limit_is_raised_as_far_as_it_may_be(soft: int, hard: int, warned: bool) -> None:
    assert resource.getrlimit(resource.RLIMIT_NOFILE)[1] >= hard
    command = [sys.executable, "-c", CODE, str(soft), str(hard)]
    run = subprocess.run(command, capture_output=True, text=True, check=True)
    assert run.stdout.split() == [str(hard), str(hard)]
    said = [json.loads(line) for line in run.stderr.splitlines()]
    assert [record["event"] for record in said] == ["few connections possible"] * warned
    if warned:
        assert f"may open {hard} files" in said[0]["sentence"]
