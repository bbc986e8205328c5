"""The one configuration of every row: Penstock's defaults, read as the trainer reads them.

A row sets the columns, the reservoir's rows and the batch size; its seed seeds the learner. Nothing else differs.
"""

import tempfile
from collections.abc import Mapping
from pathlib import Path

from bench_learning.stream import Stream
from penstock.settings import PREFIX, Settings, load

MODEL = "stream"


def settings_for(stream: Stream, *, seed: int, batch_rows: int, overrides: Mapping[str, str] | None = None) -> Settings:
    """The settings of a trainer on this stream.

    `overrides` are values by dotted key, as a user would set them by environment variable: for choosing defaults.

    Raises:
        ConfigurationError: an override is no key, or no value of it.
    """
    keys = {
        "training.device": "cpu",
        "training.seed": str(seed),
        "replay.capacity": str(stream.memory),
        "intake.max_events": str(batch_rows),
    }
    environ = {PREFIX + key.replace(".", "__").upper(): value for key, value in (keys | dict(overrides or {})).items()}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "penstock.toml"
        path.write_text(_toml(stream), encoding="utf-8")
        return load(path, environ)


def column_names(stream: Stream) -> list[str]:
    """The configured features of a stream, in order."""
    return ["pixels"] if stream.kind == "vector" else [f"x{place}" for place in range(stream.width)]


def _toml(stream: Stream) -> str:
    width = f"width = {stream.width}\n" if stream.kind == "vector" else ""
    features = "".join(
        f'[[model.features]]\nname = "{name}"\nkind = "{stream.kind}"\n{width}' for name in column_names(stream)
    )
    return f'[model]\nname = "{MODEL}"\n{features}[kafka]\n"bootstrap.servers" = "none:1"\n'
