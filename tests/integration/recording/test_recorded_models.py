"""Models recorded in MLflow, on SQLite and behind a real server: what people and programs find there."""

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

import served_models
from penstock.adapters.disk.checkpoints import DiskCheckpoints
from penstock.adapters.mlflow.artifacts import ArtifactStore
from penstock.adapters.mlflow.config import MlflowConfig
from penstock.adapters.mlflow.fetcher import ArtifactFetcher
from penstock.adapters.mlflow.recorded_versions import recorded_versions
from penstock.adapters.mlflow.version_archive import MlflowVersionArchive
from penstock.errors import RefusedUpdateError, UnavailableError
from penstock.flow import AcceptedLoss
from recorded_samples import METRICS, announced_with, client_of, record_of, save
from sample_checkpoints import weights_of


def test_a_recorded_model_shows_its_version_tags_alias_metrics_and_files(
    config: MlflowConfig, model: str, checkpoints: DiskCheckpoints, tmp_path: Path
) -> None:
    record = record_of(config, model)
    announced = save(checkpoints, 7)
    run_id = record.record(announced, METRICS)
    assert record.run_id == run_id

    client = client_of(config)
    live = client.get_model_version_by_alias(model, "live")
    assert live.run_id == run_id
    assert live.tags == {
        "penstock.version": "7",
        "penstock.epoch": "2",
        "penstock.sha256": announced.weights.sha256,
        "penstock.offsets": '{"0": 70}',
        "penstock.trained_until": "2023-11-14T22:13:20.123Z",
        "penstock.checkpoint": "checkpoints/000000000007.tar",
    }
    run = client.get_run(run_id)
    assert run.info.status == "RUNNING"
    assert run.info.run_name == model
    assert run.data.params == {"training.learning_rate": "0.001"}
    assert {"loss": 0.5, "prequential_accuracy": 0.75, "recall/0": 0.5}.items() <= run.data.metrics.items()
    (point,) = client.get_metric_history(run_id, "loss")
    assert (point.step, point.timestamp) == (7, announced.update.announced_at_ms)
    local = Path(client.download_artifacts(run_id, "versions/7/model", str(tmp_path)))
    assert (local / "weights.safetensors").read_bytes() == announced.weights.content
    assert json.loads((local / "model.json").read_text())["step"] == 7


def test_a_recorded_version_is_read_back_whole_by_its_number(
    config: MlflowConfig, model: str, checkpoints: DiskCheckpoints
) -> None:
    record, archive = record_of(config, model), MlflowVersionArchive(config, model)
    assert archive.read(7) is None
    for version, weights in zip((7, 8), served_models.weights_of(served_models.PIXELS.name), strict=False):
        announced = announced_with(save(checkpoints, version).checkpoint_folder, version, weights, model=model)
        run_id = record.record(announced, METRICS)
    for version, mlflow_version in ((7, "1"), (8, "2")):
        archived = archive.read(version)
        assert archived is not None
        assert archived.mlflow_version == mlflow_version
        weights = served_models.weights_of(served_models.PIXELS.name)[version - 7]
        expected = replace(
            announced_with(Path(), version, weights, model=model).update,
            class_ledger_digest=weights.class_ledger_digest,
            mlflow_run_id=run_id,
            announced_at_ms=archived.update.announced_at_ms,
        )
        assert archived.update == expected
    assert archive.read(9) is None


def test_what_an_operator_has_let_go_of_stands_in_tags_of_the_version(
    config: MlflowConfig, model: str, checkpoints: DiskCheckpoints
) -> None:
    gone = AcceptedLoss(partition=0, wanted=5, resumed_at=80, reason="retention", num_events=75, accepted_at_ms=1)
    losses = (gone, replace(gone, reason="made-anew", num_events=None), replace(gone, reason="truncated", num_events=2))
    record = record_of(config, model)
    record.record(save(checkpoints, 1), METRICS)
    record.record(replace(save(checkpoints, 2), losses=losses), METRICS)
    client = client_of(config)
    assert "penstock.events_lost" not in client.get_model_version(model, "1").tags
    tags = client.get_model_version(model, "2").tags
    assert tags["penstock.events_lost"] == "77"
    assert [loss["reason"] for loss in json.loads(tags["penstock.losses"])] == ["retention", "made-anew", "truncated"]


def test_packets_of_sleeping_classes_are_artifacts_that_stay_when_a_class_has_woken(
    config: MlflowConfig, model: str, checkpoints: DiskCheckpoints, tmp_path: Path
) -> None:
    record, name = record_of(config, model), "000001-spam.safetensors"
    run_id = ""
    for version, packets in enumerate(({name: b"one"}, {name: b"one"}, {}, {name: b"two"}), start=1):
        run_id = record.record(replace(save(checkpoints, version), packets=packets), METRICS)
    folder = Path(client_of(config).download_artifacts(run_id, "packets", str(tmp_path)))
    assert sorted(path.read_bytes() for path in folder.iterdir()) == [b"one", b"two"]
    assert all(re.fullmatch(r"000001-spam-[0-9a-f]{8}[.]safetensors", path.name) for path in folder.iterdir())


def test_the_newest_report_is_kept_with_the_run(
    config: MlflowConfig, model: str, checkpoints: DiskCheckpoints, tmp_path: Path
) -> None:
    record = record_of(config, model)
    run_id = record.record(save(checkpoints, 1), {})
    for page in (b"<p>first</p>", "<p>second – ä</p>".encode()):
        record.keep_report(page)
    kept = Path(client_of(config).download_artifacts(run_id, "report.html", str(tmp_path)))
    assert kept.read_text(encoding="utf-8") == "<p>second – ä</p>"


def test_the_versions_on_record_come_with_the_figures_they_were_announced_with(
    config: MlflowConfig, model: str, checkpoints: DiskCheckpoints
) -> None:
    record = record_of(config, model)
    for version in (3, 5, 8):
        figures = {"events_learnt": 10.0 * version, "prequential_accuracy": version / 10, "unasked": 1.0}
        announced = save(checkpoints, version)
        record.record(announced, figures)
    found = recorded_versions(config, model, 2)
    assert [each.version for each in found] == [8, 5]
    assert found[0].figures == {"events_learnt": 80.0, "prequential_accuracy": 0.8}
    assert found[0].announced_at_ms == announced.update.announced_at_ms
    assert recorded_versions(config, f"{model}-unknown", 2) == []


def test_later_versions_move_the_alias_and_only_the_newest_checkpoints_stay(
    config: MlflowConfig, model: str, checkpoints: DiskCheckpoints
) -> None:
    record = record_of(config, model)
    for version in range(1, 6):
        run_id = record.record(save(checkpoints, version), {"loss": 1.0 / version})
    client = client_of(config)
    assert client.get_model_version_by_alias(model, "live").tags["penstock.version"] == "5"
    assert [point.step for point in client.get_metric_history(run_id, "loss")] == [1, 2, 3, 4, 5]
    assert [file.path for file in client.list_artifacts(run_id, "checkpoints")] == [
        f"checkpoints/{version:012d}.tar" for version in (3, 4, 5)
    ]
    assert len(client.list_artifacts(run_id, "versions")) == 5


def test_large_weights_are_put_fetched_bounded_and_pruned(config: MlflowConfig, model: str) -> None:
    store = ArtifactStore(config, model, kept=2)
    uris = [store.put(weights_of(step, size=200_000)) for step in (1, 2, 3)]
    assert store.put(weights_of(3, size=200_000)) == uris[-1]
    weights = weights_of(3, size=200_000)
    fetcher = ArtifactFetcher(config)
    with fetcher.fetch(uris[-1], weights.size_bytes) as file:
        assert file.read() == weights.content
    for wrong in (weights.size_bytes - 1, weights.size_bytes + 1):
        with pytest.raises(RefusedUpdateError, match="were announced"):
            fetcher.fetch(uris[-1], wrong)
    with pytest.raises(UnavailableError):
        fetcher.fetch(uris[0], weights.size_bytes)
