"""An MLflow for each test, embedded and behind a server, a model of its own and a place for its checkpoints."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from penstock.adapters.disk.checkpoints import DiskCheckpoints
from penstock.adapters.mlflow.config import MlflowConfig
from sample_checkpoints import MODEL, SCHEMA


@pytest.fixture(params=["embedded", "server"])
def config(request: pytest.FixtureRequest, tmp_path: Path) -> MlflowConfig:
    """An experiment of its own for each test, so that tests on the shared server do not meet."""
    name = f"experiment {tmp_path.name}"
    if request.param == "embedded":
        return MlflowConfig(tracking_uri=f"sqlite:///{tmp_path}/state/mlflow.db", experiment=name)
    uri = request.getfixturevalue("shared_mlflow").tracking_uri
    return MlflowConfig(tracking_uri=uri, experiment=name, timeout_seconds=60)


@pytest.fixture
def model(tmp_path: Path) -> str:
    return f"model-{tmp_path.name}"


@pytest.fixture
def checkpoints(tmp_path: Path) -> Iterator[DiskCheckpoints]:
    store = DiskCheckpoints(tmp_path / "state", model=MODEL, schema_digest=SCHEMA, kept=5)
    yield store
    store.close()
