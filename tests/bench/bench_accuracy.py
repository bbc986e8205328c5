"""accuracy: the demo's stream at its end, all ten digits asked of the replicas"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

from figures import Figure

DEMO_SECONDS = 180


def measure() -> list[Figure]:
    """Play the demo once, as a newcomer would."""
    with tempfile.TemporaryDirectory() as folder:
        directory = Path(folder) / "demo"
        command = [sys.executable, "-m", "penstock.processes.cli", "demo", "--directory", str(directory)]
        subprocess.run(command, check=True, timeout=DEMO_SECONDS, stdout=subprocess.DEVNULL)
        result = json.loads((directory / "result.json").read_text())
    rows = result["reservoir_rows"]
    return [
        Figure(
            name=f"all ten digits, reservoir of {rows} rows", value=result["accuracy_with_replay"], unit="", target=0.90
        ),
        Figure(
            name="the same network without replay",
            value=result["accuracy_without_replay"],
            unit="",
            target=0.30,
            sense="at most",
        ),
        Figure(name="freshness p50 in the demo", value=result["freshness_p50_seconds"] * 1000, unit="ms"),
        Figure(name="freshness p99 in the demo", value=result["freshness_p99_seconds"] * 1000, unit="ms"),
    ]
