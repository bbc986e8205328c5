"""An environment of its own for every library measured beside ours, under .cache/peers, from pinned requirements."""

import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

CACHE = Path(".cache/peers")
INSTALL_SECONDS = 1800


class NotInstallableError(Exception):
    """The peer cannot be installed here; the text says why."""


def python_of(peer: str, pins: Path) -> Path:
    """The interpreter of the peer's environment with what `pins` pins, made if it is not there or they have changed.

    Raises:
        NotInstallableError: it could not be made, in a sentence.
    """
    folder = CACHE / peer
    python, stamp = folder / "bin" / "python", folder / "pins"
    digest = hashlib.sha256(pins.read_bytes()).hexdigest()
    if not (python.exists() and stamp.exists() and stamp.read_text() == digest):
        print(f"Installing {peer} into {folder} …", file=sys.stderr, flush=True)
        uv = _uv()
        _run(peer, [uv, "venv", "--quiet", "--clear", "--python", sys.executable, str(folder)])
        _run(peer, [uv, "pip", "install", "--quiet", "--python", str(python), "-r", str(pins)])
        stamp.write_text(digest)
    return python


def _uv() -> str:
    beside = Path(sys.executable).with_name("uv")
    found = str(beside) if beside.exists() else shutil.which("uv")
    if found is None:
        raise NotInstallableError("uv is not installed; `make setup` installs it")
    return found


def _run(peer: str, command: list[str]) -> None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=INSTALL_SECONDS)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NotInstallableError(f"{peer} could not be installed: {error}") from error
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise NotInstallableError(f"{peer} could not be installed: {last}")
