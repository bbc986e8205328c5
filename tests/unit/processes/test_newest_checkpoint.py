"""With which checkpoint a trainer goes on where another one has announced a model since."""

from dataclasses import replace
from pathlib import Path
from threading import Event

import pytest

from penstock.adapters.disk.checkpoints import DiskCheckpoints
from penstock.adapters.kafka.update_log import Claimed
from penstock.adapters.mlflow.config import MlflowConfig
from penstock.adapters.mlflow.record import MlflowRecord
from penstock.flow import Claim
from penstock.processes.trainer import newest_checkpoint
from sample_checkpoints import MODEL, SCHEMA, checkpoint_of, rows_of, weights_of
from update_records import update_of


def test_where_mlflow_is_away_it_goes_on_from_its_own_after_a_while(
    tmp_path: Path, unused_address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(newest_checkpoint, "RECORD_SECONDS", 0.2)
    monkeypatch.setattr(newest_checkpoint, "RECORD_RETRY_SECONDS", 0.1)
    checkpoints = DiskCheckpoints(tmp_path, model=MODEL, schema_digest=SCHEMA, kept=3)
    checkpoints.save(checkpoint_of(1, rows_of(range(10), 1, full=True)), weights_of(1))
    own = checkpoints.load_newest()
    assert own is not None
    record = MlflowRecord(MlflowConfig(tracking_uri=f"http://{unused_address}", timeout_seconds=1), MODEL)
    announced = replace(update_of(MODEL, version=9), epoch=own.epoch + 1)
    claimed = Claimed(claim=Claim(epoch=own.epoch + 2, holder="us"), highest_version=9, newest_update=announced)
    stop = Event()
    assert newest_checkpoint.checkpoint_to_resume(own, checkpoints, record, claimed, stop) is own
    assert not stop.is_set()
    checkpoints.close()
