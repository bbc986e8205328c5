"""The configuration file of a replica for tests of its process."""

from pathlib import Path

from penstock.learning.config import ModelConfig


def replica_configuration(
    model: ModelConfig, bootstrap_servers: str, state: Path, *, kafka: str = "", serving: str = ""
) -> str:
    """For a model of one vector column; `kafka` and `serving` are more lines of these sections."""
    (feature,) = model.features
    return f"""
[model]
name = "{model.name}"
[[model.features]]
name = "{feature.name}"
kind = "vector"
width = {feature.dense_width}
[model.backbone]
hidden = {list(model.backbone.hidden)}
[kafka]
"bootstrap.servers" = "{bootstrap_servers}"
{kafka}
[serving]
{serving}
[state]
directory = "{state}"
"""
