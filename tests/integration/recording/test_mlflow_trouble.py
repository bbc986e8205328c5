"""An MLflow that is embedded, quiet, down, silent or in the way: what recording and `doctor` make of it."""

import os
import socket
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mlflow_servers import MlflowServer
from penstock.adapters.disk.checkpoints import DiskCheckpoints
from penstock.adapters.mlflow.artifacts import ArtifactStore
from penstock.adapters.mlflow.check import check
from penstock.adapters.mlflow.config import MlflowConfig
from penstock.adapters.mlflow.fetcher import ArtifactFetcher
from penstock.adapters.mlflow.record import MlflowRecord
from penstock.errors import UnavailableError
from recorded_samples import METRICS, client_of, record_of, save
from sample_checkpoints import MODEL, weights_of


def test_doctor_finds_a_working_mlflow_working(config: MlflowConfig) -> None:
    ok, sentence = check(config)
    assert ok, sentence
    assert "can be written" in sentence


def test_the_embedded_database_is_in_wal_mode_with_its_artifacts_beside_it(
    tmp_path: Path, model: str, checkpoints: DiskCheckpoints
) -> None:
    config = MlflowConfig(tracking_uri=f"sqlite:///{tmp_path}/deep/er/mlflow.db")
    run_id = record_of(config, model).record(save(checkpoints, 1), METRICS)
    connection = sqlite3.connect(tmp_path / "deep" / "er" / "mlflow.db")
    assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    connection.close()
    assert (tmp_path / "deep" / "er" / "mlflow-artifacts" / run_id / "artifacts" / "checkpoints").is_dir()


def test_a_process_that_records_prints_nothing_of_mlflows(config: MlflowConfig, model: str, tmp_path: Path) -> None:
    program = """
import sys
from pathlib import Path
import structlog
from penstock.adapters.disk.checkpoints import DiskCheckpoints
from penstock.adapters.mlflow.config import MlflowConfig
from recorded_samples import record_of, save
structlog.configure(processors=[structlog.processors.JSONRenderer()], logger_factory=structlog.ReturnLoggerFactory())
config = MlflowConfig(tracking_uri=sys.argv[1], experiment=sys.argv[2])
record = record_of(config, sys.argv[3])
checkpoints = DiskCheckpoints(Path(sys.argv[4]), model="digits", schema_digest="s", kept=2)
assert record.record(save(checkpoints, 1), {"loss": 1})
record.close()
"""
    arguments = [config.tracking_uri, config.experiment, model, str(tmp_path / "printing")]
    paths = [str(Path(__file__).parents[2]), *filter(None, [os.environ.get("PYTHONPATH")])]
    ran = subprocess.run(
        [sys.executable, "-c", program, *arguments],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
    )
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "", "")


def test_a_server_that_is_down_is_said_quickly_and_used_again_when_it_is_back(
    shared_mlflow: MlflowServer, model: str, checkpoints: DiskCheckpoints, tmp_path: Path
) -> None:
    config = MlflowConfig(tracking_uri=shared_mlflow.tracking_uri.replace("//", "//user:hunter2@"), timeout_seconds=60)
    record, store = record_of(config, model), ArtifactStore(config, model)
    run_id = record.record(save(checkpoints, 1), METRICS)
    uri = store.put(weights_of(1))
    shared_mlflow.stop()
    announced = save(checkpoints, 2)
    began = time.monotonic()
    for attempt in (
        lambda: record.record(announced, METRICS),
        lambda: MlflowRecord(config, model).newest_checkpoint(tmp_path / "into"),
        lambda: store.put(weights_of(2)),
        lambda: ArtifactFetcher(config).fetch(uri, weights_of(1).size_bytes),
    ):
        with pytest.raises(UnavailableError, match="cannot be reached: connection refused") as failure:
            attempt()
        assert "hunter2" not in str(failure.value)
    assert check(config)[0] is False
    assert time.monotonic() - began < 30.0
    record.close()
    shared_mlflow.start()
    assert record.record(announced, METRICS) == run_id
    assert client_of(config).get_model_version_by_alias(model, "live").tags["penstock.version"] == "2"


def test_a_server_that_accepts_and_never_answers_is_given_up_in_bounded_time(tmp_path: Path) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen(16)
        config = MlflowConfig(tracking_uri=f"http://127.0.0.1:{silent.getsockname()[1]}", timeout_seconds=1)
        began = time.monotonic()
        with pytest.raises(UnavailableError, match="no answer within 1 s"):
            MlflowRecord(config, MODEL).newest_checkpoint(tmp_path / "into")
        assert time.monotonic() - began < 30.0


def test_doctor_names_a_database_that_cannot_be_created(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    ok, sentence = check(MlflowConfig(tracking_uri=f"sqlite:///{tmp_path}/file/mlflow.db"))
    assert not ok
    assert "file" in sentence
