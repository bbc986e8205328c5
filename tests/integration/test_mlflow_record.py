"""Models recorded in MLflow, on SQLite and behind a real server: what people find there, and what comes back."""

import contextlib
import json
import os
import re
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from threading import Barrier

import pytest
from mlflow import MlflowClient

import served_models
from mlflow_servers import MlflowServer
from penstock.adapters.disk.checkpoints import DiskCheckpoints
from penstock.adapters.mlflow.artifacts import ArtifactStore
from penstock.adapters.mlflow.check import check
from penstock.adapters.mlflow.config import MlflowConfig
from penstock.adapters.mlflow.fetcher import ArtifactFetcher
from penstock.adapters.mlflow.record import MlflowRecord
from penstock.adapters.mlflow.recorded_versions import recorded_versions
from penstock.adapters.mlflow.version_archive import MlflowVersionArchive
from penstock.errors import RefusedUpdateError, UnavailableError
from penstock.flow import AcceptedLoss, DriftAlarm, JudgedAnswers, ModelUpdate, Offsets, Weights
from penstock.trainer.version_scores import OwnScores
from sample_checkpoints import MODEL, SCHEMA, assert_same, checkpoint_of, rows_of, weights_of

# MLflow's own tables use a loader that SQLAlchemy has deprecated.
pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy:DeprecationWarning")

ALARM = DriftAlarm(
    number=7,
    at_ms=1_700_000_000_000,
    at_event=900,
    at_step=30,
    before=0.1,
    after=0.4,
    num_after=50,
    classes=("ä b", "0"),
)
SECOND_ALARM = replace(ALARM, number=8, at_ms=1_700_000_005_000, at_event=1_900, after=0.3, classes=())
METRICS = {"loss": 0.5, "prequential_accuracy": 0.75, "recall/0": 0.5, "recall/ä b": 1.0}


@dataclass(frozen=True, kw_only=True)
class AnnouncedSample:
    """Implements `trainer.ports.Announced`."""

    update: ModelUpdate
    weights: Weights = field(repr=False)
    checkpoint_folder: Path
    class_names: tuple[str, ...] = ("0", "1")
    packets: Mapping[str, bytes] = field(default_factory=dict)
    losses: tuple[AcceptedLoss, ...] = ()
    drift: tuple[DriftAlarm, ...] = ()
    judged: tuple[JudgedAnswers, ...] = ()
    scored: tuple[OwnScores, ...] = ()


def announced_with(folder: Path, version: int, weights: Weights, *, model: str = MODEL) -> AnnouncedSample:
    update = ModelUpdate(
        model=model,
        version=version,
        epoch=2,
        sha256=weights.sha256,
        size_bytes=weights.size_bytes,
        class_ledger_digest="ledger",
        trained_until_ms=1_700_000_000_123,
        announced_at_ms=1_700_000_001_000 + version,
        offsets=Offsets(next={0: version * 10}),
        metrics={},
        inline=weights.content,
    )
    return AnnouncedSample(update=update, weights=weights, checkpoint_folder=folder)


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


def save(checkpoints: DiskCheckpoints, version: int, run_id: str | None = None) -> AnnouncedSample:
    rows = rows_of(range(8), version, full=True)
    folder = checkpoints.save(checkpoint_of(version, rows, run_id=run_id), weights_of(version))
    return announced_with(folder, version, weights_of(version))


def record_of(config: MlflowConfig, model: str) -> MlflowRecord:
    return MlflowRecord(config, model, {"training.learning_rate": "0.001"})


def client_of(config: MlflowConfig) -> MlflowClient:
    return MlflowClient(tracking_uri=config.tracking_uri, registry_uri=config.tracking_uri)


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


def test_drift_stands_in_the_run_at_its_own_time_and_in_words(
    config: MlflowConfig, model: str, checkpoints: DiskCheckpoints
) -> None:
    record = record_of(config, model)
    announced = replace(save(checkpoints, 1), drift=(ALARM, SECOND_ALARM))
    record.record(announced, {"loss": 1.0})
    recovered = replace(ALARM, recovered_after_events=400, recovered_after_seconds=2.5, contradicted={"ä b": 1.25})
    # Another process, as after a restart, says all of it again.
    run_id = record_of(config, model).record(replace(save(checkpoints, 2), drift=(recovered, SECOND_ALARM)), {})
    client = client_of(config)
    sizes = client.get_metric_history(run_id, "drift/size")
    assert [(round(point.value, 3), point.timestamp, point.step) for point in sizes] == [
        (0.3, ALARM.at_ms, 900),
        (0.2, SECOND_ALARM.at_ms, 1_900),
    ]
    (recovery,) = client.get_metric_history(run_id, "drift/recovery_events")
    assert (recovery.value, recovery.step) == (400, 900)
    tags = {name: text for name, text in client.get_run(run_id).data.tags.items() if "drift" in name}
    assert tags == {
        "penstock.drift.07": "alarm 7 at 2023-11-14T22:13:20.000Z, event 900: errors 0.100 → 0.400 (+0.300), recovered"
        " after 400 events (2.5 s); classes ä b, 0; remembered rows contradict new ones: ä b (+1.25 nats)",
        "penstock.drift.08": "alarm 8 at 2023-11-14T22:13:25.000Z, event 1900: errors 0.100 → 0.300 (+0.200), not"
        " recovered yet; classes none",
        "penstock.drift.last": tags["penstock.drift.08"],
    }


def test_a_version_on_record_is_told_how_good_it_was_once_that_is_known(
    config: MlflowConfig, model: str, checkpoints: DiskCheckpoints
) -> None:
    record_of(config, model).record(save(checkpoints, 3), {})
    record = record_of(config, model)  # another process: it finds version 3 in the registry
    own = OwnScores(version=3, events=40, accuracy=0.75, loss=0.5)
    answers = (JudgedAnswers(version=2, events=9, right=0), JudgedAnswers(version=4, events=3, right=2))
    record.record(replace(save(checkpoints, 5), scored=(own,), judged=answers), {})
    more = (*answers, JudgedAnswers(version=5, events=1, right=1), JudgedAnswers(version=9, events=1, right=1))
    run_id = record.record(replace(save(checkpoints, 8), scored=(own,), judged=more), {})
    client = client_of(config)
    points = {
        name: {point.step: point.value for point in client.get_metric_history(run_id, f"version/{name}")}
        for name in ("accuracy", "loss", "scored_events", "answers_accuracy", "answers_events")
    }
    assert points["accuracy"] == {3: 0.75}
    assert points["loss"] == {3: 0.5}
    assert points["scored_events"] == {3: 40}
    assert points["answers_accuracy"] == {3: pytest.approx(2 / 3), 5: 1, 8: 1}
    assert points["answers_events"] == {3: 3, 5: 1, 8: 1}
    assert len(client.get_metric_history(run_id, "version/accuracy")) == 1, "what is told already is not told again"
    tags = {each.tags["penstock.version"]: each.tags for each in client.search_model_versions(f"name='{model}'")}
    assert tags["3"]["penstock.accuracy"] == "0.750000"
    assert tags["3"]["penstock.answers_events"] == "3"
    assert "penstock.accuracy" not in tags["5"]
    shown = {each.version: each.figures for each in recorded_versions(config, model, 9)}
    assert shown[3] == {"version/accuracy": 0.75, "version/answers_accuracy": pytest.approx(2 / 3, abs=1e-6)}


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
from test_mlflow_record import record_of, save
structlog.configure(processors=[structlog.processors.JSONRenderer()], logger_factory=structlog.ReturnLoggerFactory())
config = MlflowConfig(tracking_uri=sys.argv[1], experiment=sys.argv[2])
record = record_of(config, sys.argv[3])
checkpoints = DiskCheckpoints(Path(sys.argv[4]), model="digits", schema_digest="s", kept=2)
assert record.record(save(checkpoints, 1), {"loss": 1})
record.close()
"""
    arguments = [config.tracking_uri, config.experiment, model, str(tmp_path / "printing")]
    tests = Path(__file__).parent
    ran = subprocess.run(
        [sys.executable, "-c", program, *arguments],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": f"{tests}{os.pathsep}{tests.parent}"},
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
