"""One JSON object a line where no terminal reads it, secrets redacted; and a full disk swallows it."""

import io
import json
import logging
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import structlog

from penstock.processes import logs
from penstock.processes.logs import LossyStream


class Terminal(io.StringIO):
    """Standard error as a person reads it."""

    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    """What a test configures is of no concern to the others."""
    before = structlog.get_config()
    yield
    structlog.configure(**before)


def test_without_a_terminal_every_line_is_a_json_object_on_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure()
    structlog.get_logger().info("learning", events=256, classes="a, b", path=Path("state"))
    structlog.get_logger().debug("a detail")
    try:
        raise ValueError("a defect")
    except ValueError:
        structlog.get_logger().exception("updater failed")
    written = capsys.readouterr()
    assert written.out == ""
    first, second = map(json.loads, written.err.splitlines())
    assert first.pop("timestamp").endswith("Z")
    assert first == {
        "event": "learning",
        "level": "info",
        "events": 256,
        "classes": "a, b",
        "path": repr(Path("state")),
    }
    assert (second["event"], second["level"]) == ("updater failed", "error")
    assert second["exception"].endswith("ValueError: a defect")


def test_on_a_terminal_lines_are_for_people(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    logs.configure()
    structlog.get_logger().info("learning", events=256)
    (line,) = terminal.getvalue().splitlines()
    assert "learning" in line
    with pytest.raises(json.JSONDecodeError):
        json.loads(line)


def test_on_a_terminal_too_no_traceback_shows_a_password(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    logs.configure()
    try:
        raise ValueError("no answer from http://me:hunter2@mlflow")
    except ValueError:
        structlog.get_logger().exception("updater failed")
    assert "ValueError: no answer from http://mlflow" in terminal.getvalue()
    assert "hunter2" not in terminal.getvalue()


def test_a_level_may_be_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure(logging.WARNING)
    structlog.get_logger().info("learning")
    structlog.get_logger().warning("waiting")
    assert [json.loads(line)["event"] for line in capsys.readouterr().err.splitlines()] == ["waiting"]


@pytest.mark.parametrize("word", ["sasl_PASSWORD", "client_secret", "token", "key_passphrase", "aws_credentials"])
def test_what_is_called_a_secret_is_not_written(word: str, capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure()
    structlog.get_logger().info("connecting", **{word: "hunter2"})
    assert json.loads(capsys.readouterr().err)[word] == "***"


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("https://me:hunter2@mlflow:5000/path", "https://mlflow:5000/path"),
        ("https://me:hunt@r2@mlflow:5000/path@v1", "https://mlflow:5000/path@v1"),
        (ValueError("no answer from http://me:hunter2@mlflow"), "ValueError('no answer from http://mlflow')"),
    ],
)
def test_user_and_password_of_an_address_are_not_written(
    value: object, shown: str, capsys: pytest.CaptureFixture[str]
) -> None:
    logs.configure()
    structlog.get_logger().warning("waiting", reason=value)
    assert json.loads(capsys.readouterr().err)["reason"] == shown


def test_lines_that_cannot_be_written_are_lost_and_nothing_is_raised() -> None:
    full = Path("/dev/full").open("w")  # noqa: SIM115 - closing it fails, as there is no space for what it holds
    try:
        stream = LossyStream(full)
        stream.write("the disk is full\n")
        stream.flush()
    finally:
        with suppress(OSError):
            full.close()
