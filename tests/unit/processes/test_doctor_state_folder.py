"""What `penstock doctor` says of the state folder, which a trainer is about to write."""

from pathlib import Path

import pytest

from penstock.processes.doctor import check_state
from penstock.settings import load

MODEL = """
[model]
name = "digits"
[[model.features]]
name = "size"
kind = "number"
[kafka]
"bootstrap.servers" = "127.0.0.1:9092"
[state]
directory = "{}"
"""


def said_of(directory: Path, tmp_path: Path) -> tuple[bool, str]:
    file = tmp_path / "penstock.toml"
    file.write_text(MODEL.format(directory), encoding="utf-8")
    (line,) = check_state(load(file, {}))
    return line.ok, line.sentence


def test_a_folder_that_is_yet_to_be_made_can_be_written(tmp_path: Path) -> None:
    ok, sentence = said_of(tmp_path / "not" / "yet", tmp_path)
    assert ok, sentence
    assert not (tmp_path / "not").exists()


def test_a_file_in_the_way_is_named(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("")
    assert said_of(tmp_path / "state", tmp_path) == (
        False,
        f"{tmp_path / 'state'} is in the way: it is a file, not a folder.",
    )


@pytest.mark.parametrize("directory", ["/proc/state", "/sys/state"])
def test_a_file_system_that_takes_nothing_is_found_out_whatever_the_rights_say(directory: str, tmp_path: Path) -> None:
    ok, sentence = said_of(Path(directory), tmp_path)
    assert not ok
    assert sentence.startswith(f"{Path(directory).parent} cannot be written: ")


def test_a_path_that_cannot_even_be_looked_for_is_said(tmp_path: Path) -> None:
    ok, sentence = said_of(tmp_path / ("x" * 300), tmp_path)
    assert not ok
    assert "File name too long" in sentence
