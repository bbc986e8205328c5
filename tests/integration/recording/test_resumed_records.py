"""Recording that goes on: the same run after a restart, nothing twice, and checkpoints that come back from MLflow."""

import contextlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest

from penstock.adapters.disk.checkpoints import DiskCheckpoints
from penstock.adapters.mlflow.config import MlflowConfig
from penstock.adapters.mlflow.record import MlflowRecord
from penstock.errors import UnavailableError
from recorded_samples import METRICS, client_of, record_of, save
from sample_checkpoints import MODEL, SCHEMA, assert_same, checkpoint_of, rows_of


def test_a_restored_trainer_resumes_the_same_run_and_the_last_one_ends_it(
    config: MlflowConfig, model: str, checkpoints: DiskCheckpoints
) -> None:
    first = record_of(config, model)
    run_id = first.record(save(checkpoints, 1), {"loss": 2.0})
    first.close()
    client = client_of(config)
    assert client.get_run(run_id).info.status == "FINISHED"

    restored = MlflowRecord(config, model, {"training.learning_rate": "0.01", "training.seed": "3"})
    restored.run_id = run_id
    assert restored.record(save(checkpoints, 2), {"loss": 1.0}) == run_id
    run = client.get_run(run_id)
    assert run.info.status == "RUNNING"
    assert run.data.params == {"training.learning_rate": "0.001", "training.seed": "3"}
    assert run.data.tags["changed.training.learning_rate"] == "0.01"

    without_checkpoint = record_of(config, model)
    assert without_checkpoint.record(save(checkpoints, 3), {"loss": 0.5}) == run_id
    without_checkpoint.close("KILLED")
    assert client.get_run(run_id).info.status == "KILLED"


def test_a_run_that_mlflow_no_longer_has_is_followed_by_a_new_one(
    config: MlflowConfig, model: str, checkpoints: DiskCheckpoints
) -> None:
    record = record_of(config, model)
    record.run_id = "0" * 32
    assert record.record(save(checkpoints, 1), METRICS) == record.run_id != "0" * 32


def test_recording_the_same_version_again_registers_it_once(
    config: MlflowConfig, model: str, checkpoints: DiskCheckpoints
) -> None:
    record = record_of(config, model)
    announced = save(checkpoints, 1)
    assert record.record(announced, METRICS) == record.record(announced, METRICS)
    assert len(client_of(config).search_model_versions(f"name='{model}'")) == 1


def test_several_may_create_experiment_and_model_at_once_and_trying_again_registers_nothing_twice(
    config: MlflowConfig, model: str, checkpoints: DiskCheckpoints
) -> None:
    announced, start = save(checkpoints, 1), Barrier(4)

    def record_at_once(_: int) -> str:
        record = record_of(config, model)
        start.wait()
        for _ in range(5):
            # MLflow's own insertion of an alias can lose to another; the error asks to try again.
            with contextlib.suppress(UnavailableError):
                return record.record(announced, METRICS)
        return record.record(announced, METRICS)

    with ThreadPoolExecutor(start.parties) as threads:
        runs = list(threads.map(record_at_once, range(start.parties)))
    assert client_of(config).get_model_version_by_alias(model, "live").run_id in runs
    assert len(client_of(config).search_model_versions(f"name='{model}'")) == start.parties


def test_a_trainer_whose_disk_is_gone_gets_its_newest_checkpoint_back(
    config: MlflowConfig, model: str, checkpoints: DiskCheckpoints, tmp_path: Path
) -> None:
    record = record_of(config, model)
    run_id = record.record(save(checkpoints, 1), METRICS)
    record.record(save(checkpoints, 2, run_id), METRICS)

    fresh = DiskCheckpoints(tmp_path / "new disk", model=MODEL, schema_digest=SCHEMA, kept=3)
    assert fresh.load_newest() is None
    assert MlflowRecord(config, model).newest_checkpoint(fresh.incoming_folder)
    found = fresh.load_newest()
    fresh.close()
    assert found is not None
    assert_same(found, checkpoint_of(2, rows_of(range(8), 2, full=True), run_id=run_id))


def test_a_checkpoint_that_is_gone_from_the_store_gives_way_to_the_one_before(
    config: MlflowConfig, model: str, checkpoints: DiskCheckpoints, tmp_path: Path
) -> None:
    record = record_of(config, model)
    for version in (1, 2):
        record.record(save(checkpoints, version), METRICS)
    artifacts = record._connection.repository(record._run.open().info.artifact_uri)
    artifacts.delete_artifacts("checkpoints/000000000002.tar")
    fresh = DiskCheckpoints(tmp_path / "new disk", model=MODEL, schema_digest=SCHEMA, kept=3)
    fresh.load_newest()
    assert MlflowRecord(config, model).newest_checkpoint(fresh.incoming_folder)
    found = fresh.load_newest()
    fresh.close()
    assert found is not None
    assert found.step == 1
    artifacts.delete_artifacts("checkpoints/000000000001.tar")
    with pytest.raises(UnavailableError):
        MlflowRecord(config, model).newest_checkpoint(tmp_path / "nothing")
    assert not (tmp_path / "nothing").exists()


def test_a_model_never_recorded_has_no_checkpoint(config: MlflowConfig, model: str, tmp_path: Path) -> None:
    assert not MlflowRecord(config, model).newest_checkpoint(tmp_path / "into")
