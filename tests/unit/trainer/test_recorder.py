"""The record for people lags behind and fails, and ends with the newest announced all the same; it holds nothing up."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from counted_telemetry import CountedTelemetry
from penstock.adapters.disk.pinning import pin
from penstock.clock import SystemClock
from penstock.errors import FencedError, UnavailableError
from penstock.flow import ModelUpdate, Offsets, Recorded
from penstock.trainer.candidate import AnnouncedCandidate
from penstock.trainer.record_ports import Announced
from penstock.trainer.recorder import Recorder
from penstock.trainer.refusal import Refusal
from sample_checkpoints import weights_of
from waiting import wait_for


class MoodyRecord:
    """A `ModelRecord` that is away as often as it is told to be."""

    def __init__(self) -> None:
        self.versions: list[int] = []
        self.reports: list[bytes] = []
        self.failures_to_come = 0

    def record(self, announced: Announced, metrics: Mapping[str, float]) -> str:
        if self.failures_to_come:
            self.failures_to_come -= 1
            raise UnavailableError("MLflow is away")
        assert (announced.checkpoint_folder / "checkpoint.json").exists(), "pruned while it was to be recorded"
        assert metrics == announced.update.metrics
        self.versions.append(announced.update.version)
        return "run"

    @property
    def mlflow_version(self) -> str | None:
        return str(100 + self.versions[-1]) if self.versions else None

    def note_refusal(self, refusal: Refusal) -> None:
        raise AssertionError(f"nothing was refused: {refusal}")

    def keep_report(self, page: bytes) -> None:
        self.reports.append(page)

    def newest_checkpoint(self, into: Path) -> bool:
        raise AssertionError(f"nobody asks for a checkpoint in {into}")


class ToldLog:
    """A `RecordedLog` that is away as often as it is told to be."""

    def __init__(self) -> None:
        self.told: list[Recorded] = []
        self.failures_to_come: list[Exception] = []

    def note_recorded(self, recorded: Recorded) -> None:
        if self.failures_to_come:
            raise self.failures_to_come.pop()
        self.told.append(recorded)


class Bench:
    """A running recorder, and versions for it in folders of their own."""

    def __init__(
        self, directory: Path, *, interval_seconds: float = 0.05, report_interval_seconds: float = 0.0
    ) -> None:
        self.record, self.update_log = MoodyRecord(), ToldLog()
        self.telemetry = CountedTelemetry("trainer")
        self._directory = directory
        self.recorder = Recorder(
            self.record,
            pin=pin,
            pinned_into=directory / "recording",
            interval_seconds=interval_seconds,
            draw=lambda folder: (folder / "checkpoint.json").read_bytes(),
            report_interval_seconds=report_interval_seconds,
            telemetry=self.telemetry,
            clock=SystemClock(),
            run_id=None,
            update_log=self.update_log,
        )
        self.recorder.start()

    def announced(self, version: int) -> AnnouncedCandidate:
        folder = self._directory / str(version)
        folder.mkdir()
        (folder / "checkpoint.json").write_text(f"{version}")
        weights = weights_of(version)
        update = ModelUpdate(
            model="m",
            version=version,
            epoch=1,
            sha256=weights.sha256,
            size_bytes=weights.size_bytes,
            class_ledger_digest="ledger",
            trained_until_ms=1,
            announced_at_ms=1,
            offsets=Offsets(),
            metrics={},
            inline=weights.content,
        )
        return AnnouncedCandidate(
            update=update, weights=weights, checkpoint_folder=folder, class_names=(), metrics={}, drift=()
        )


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path)
    yield made
    made.recorder.close(60)
    assert not made.recorder.is_recording


def test_what_failed_is_recorded_later_though_nothing_new_is_announced(bench: Bench) -> None:
    bench.record.failures_to_come = 2
    bench.recorder.offer(bench.announced(1))
    wait_for(lambda: bench.record.versions == [1], "the version is recorded")
    assert bench.telemetry.value("penstock_mlflow_failures_total") == 2


def test_replicas_are_told_what_is_on_record_and_those_who_cannot_be_told_hold_up_nothing(bench: Bench) -> None:
    bench.update_log.failures_to_come = [
        RuntimeError("closed"), FencedError("another trainer"), UnavailableError("the broker is away")
    ]  # fmt: skip
    for version in (1, 2, 3, 4):
        announced = bench.announced(version)
        bench.recorder.offer(announced)
        wait_for(partial(_has, bench.record.versions, version), "the version is recorded")
    wait_for(lambda: bench.update_log.told, "they are told")
    assert bench.update_log.told == [
        Recorded(model="m", version=4, epoch=1, sha256=announced.update.sha256, mlflow_version="104")
    ]
    assert bench.record.versions == [1, 2, 3, 4]


def _has(versions: list[int], version: int) -> bool:
    return version in versions


def test_a_version_announced_too_soon_after_a_record_waits_for_its_turn(tmp_path: Path) -> None:
    bench = Bench(tmp_path, interval_seconds=3600.0)
    bench.recorder.offer(bench.announced(1))
    wait_for(lambda: bench.telemetry.value("penstock_mlflow_records_total") == 1, "the first is recorded")
    for version in (2, 3, 4):
        bench.recorder.offer(bench.announced(version))
    bench.recorder.close(60)
    assert bench.record.versions == [1, 4], "the last is recorded at the end, those between never"


def test_what_was_not_due_when_it_was_announced_is_recorded_once_it_is(bench: Bench) -> None:
    for version in (1, 2, 3):
        bench.recorder.offer(bench.announced(version))
    wait_for(lambda: bench.record.versions[-1:] == [3], "the newest version is recorded")


def test_a_newer_version_takes_the_place_of_one_that_failed(tmp_path: Path) -> None:
    bench = Bench(tmp_path, interval_seconds=60.0)
    bench.record.failures_to_come = 1
    bench.recorder.offer(bench.announced(1))
    wait_for(lambda: bench.telemetry.value("penstock_mlflow_failures_total") == 1, "the first fails")
    bench.recorder.offer(bench.announced(2))
    bench.recorder.close(60)
    assert bench.record.versions == [2]


def test_the_last_is_recorded_at_the_end_though_it_failed_before(tmp_path: Path) -> None:
    bench = Bench(tmp_path, interval_seconds=60.0)
    bench.record.failures_to_come = 1
    bench.recorder.offer(bench.announced(1))
    wait_for(lambda: bench.telemetry.value("penstock_mlflow_failures_total") == 1, "the first try fails")
    bench.recorder.close(60)
    assert bench.record.versions == [1]


def test_the_report_at_the_end_is_on_the_last_version_though_that_was_on_record_before(tmp_path: Path) -> None:
    bench = Bench(tmp_path, report_interval_seconds=60.0)
    bench.recorder.offer(bench.announced(1))
    wait_for(lambda: bench.record.versions == [1], "the first version is recorded")
    bench.recorder.offer(bench.announced(2))
    wait_for(lambda: bench.record.versions == [1, 2], "the second is recorded")
    bench.recorder.close(60)
    assert bench.record.reports == [b"1", b"2"]


def test_a_disk_that_takes_no_more_links_costs_a_record_and_nothing_else(tmp_path: Path) -> None:
    bench = Bench(tmp_path, interval_seconds=60.0)
    (tmp_path / "recording").write_text("a file where the folder should be")
    with capture_logs() as lines:
        bench.recorder.offer(bench.announced(1))
    assert [line["event"] for line in lines] == ["checkpoint not kept for MLflow, training goes on"]
    (tmp_path / "recording").unlink()
    bench.recorder.close(60)
    assert bench.record.versions == [1]


def test_a_folder_that_was_pruned_gives_way_to_the_next_version(bench: Bench) -> None:
    gone = bench.announced(1)
    bench.recorder.offer(replace(gone, checkpoint_folder=gone.checkpoint_folder / "nowhere"))
    bench.recorder.offer(bench.announced(2))
    wait_for(lambda: bench.record.versions == [2], "the next version is recorded")
