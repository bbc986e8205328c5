"""`make bench-serving` says in one sentence what it does not find."""

from pathlib import Path

import pytest

from bench_serving.closed_loop import what_is_missing


@pytest.mark.parametrize("present", [[], ["wrk"], ["taskset"]])
def test_a_program_that_is_missing_is_named_with_its_package(
    present: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in present:
        (tmp_path / name).touch(mode=0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    missing = "taskset" if present == ["wrk"] else "wrk"
    said = what_is_missing()
    assert said is not None
    assert said.startswith(f"`{missing}` is not installed; on Debian: apt-get install ")
    assert "\n" not in said
