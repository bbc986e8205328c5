"""Finds Helm, or builds it once into `.cache/bin`: `python tests/helm_binary.py` prints its path."""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

MODULE = "helm.sh/helm/v3/cmd/helm@v3.22.0"
CACHED = Path(__file__).resolve().parents[1] / ".cache" / "bin" / "helm"


def helm_binary() -> Path:
    """Helm on the PATH, else the one built before, else one built now (about two minutes).

    Raises:
        RuntimeError: there is neither Helm nor Go, or the build failed; the sentence says what to do.
    """
    on_path = shutil.which("helm")
    if on_path is not None:
        return Path(on_path)
    if not CACHED.exists():
        _build()
    return CACHED


def _build() -> None:
    """Into a folder of its own first, so that an interrupted build leaves nothing that looks finished."""
    go = shutil.which("go")
    if go is None:
        raise RuntimeError("Neither helm nor go is on the PATH; install Helm 3, or Go to have it built here.")
    CACHED.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=CACHED.parent) as folder:
        built = subprocess.run(
            [go, "install", MODULE], env=os.environ | {"GOBIN": folder}, capture_output=True, text=True, check=False
        )
        if built.returncode != 0:
            raise RuntimeError(f"`go install {MODULE}` failed; install Helm 3 instead.\n{built.stderr.strip()}")
        (Path(folder) / "helm").replace(CACHED)


if __name__ == "__main__":
    try:
        sys.stdout.write(f"{helm_binary()}\n")
    except RuntimeError as error:
        sys.exit(str(error))
