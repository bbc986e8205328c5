"""checkpoint: what it costs the training thread, the disk and a restart, by the size of the reservoir; default heads"""

import tempfile
import time
from pathlib import Path
from queue import Queue
from threading import Thread

import numpy as np
import numpy.typing as npt

from figures import Figure
from labelled_rows import event_batch
from penstock.adapters.disk.checkpoints import DiskCheckpoints, model_folder, whole_folders
from penstock.features import Feature
from penstock.flow import Checkpoint, EventBatch, StepReport, Weights
from penstock.learning.config import ModelConfig, TrainingConfig
from penstock.learning.learner import Learner
from penstock.learning.train_rows import TrainRows
from penstock.replay.config import ReplayConfig
from penstock.trainer.scores import scores, standing

SIZES = (10_000, 100_000, 1_000_000)
WIDTH, CLASSES, BATCH = 20, 5, 256
MODEL = ModelConfig(
    name="checkpoints", features=tuple(Feature(name=f"number_{place}", kind="number") for place in range(WIDTH))
)
WARM_UP_BATCHES, BATCHES_BETWEEN = 100, 4
CHECKPOINTS = 100
AN_HOUR = 720
"""Checkpoints of an hour at the longest interval, 5 s."""
KEPT = 3
MOST_STALL_MS = 20.0


def measure() -> list[Figure]:
    """Stalls are held to their bar at a million rows."""
    return [figure for rows in SIZES for figure in _at_size(rows)] + _an_hour(SIZES[0])


class _Run:
    """A learner on Gaussian clouds, whose checkpoints another thread writes."""

    def __init__(self, capacity: int, directory: Path) -> None:
        self._random = np.random.default_rng(0)
        self._centres = self._random.normal(size=(CLASSES, WIDTH))
        self._next_offset = 0
        self.capacity, self.directory = capacity, directory
        self.learner = self._new_learner()
        self.store = _store(directory)
        self._waiting: Queue[tuple[Checkpoint, Weights] | None] = Queue()
        self._writer = Thread(target=self._write)
        self._writer.start()
        self.stalls_ms: list[float] = []
        self.rows_changed: list[int] = []
        self._report: StepReport | None = None
        self.most_on_disk = 0

    def learn(self, num_batches: int) -> None:
        for _ in range(num_batches):
            self._report = self.learner.learn(self._batch())

    def fill(self) -> None:
        """Put rows into the reservoir directly: to learn a million takes longer."""
        reservoir = self.learner._parts.reservoir
        while len(reservoir) < reservoir.capacity - CLASSES:  # all classes hold equally many
            rows, classes = self._rows(50_000)
            fresh = reservoir.form.read(
                {
                    "dense": rows.astype(np.float32),
                    "tokens": np.zeros((len(rows), 0), dtype=np.int32),
                    "class": classes,
                    "weight": np.ones(len(rows)),
                },
                "class",
                "weight",
            )
            assert isinstance(fresh, TrainRows)
            reservoir.add(fresh, self._random.integers(0, 2**64, len(rows), dtype=np.uint64))

    def checkpoint(self) -> None:
        """Take one as the publisher does, once the one before is on disk."""
        self._waiting.join()
        began = time.perf_counter()
        taken = self.learner.capture(
            epoch=1,
            version=len(self.stalls_ms) + 1,
            mlflow_run_id=None,
            full_reservoir=self.store.wants_full_reservoir(),
        )
        scores(self.learner, self._report), standing(self.learner)
        self.stalls_ms.append(1000 * (time.perf_counter() - began))
        self.rows_changed.append(len(taken[0].reservoir.slots))
        self._waiting.put(taken)

    def close(self) -> None:
        self._waiting.put(None)
        self._writer.join()
        self.store.close()

    def recovered_seconds(self) -> float:
        """From nothing to a learner that goes on."""
        began = time.perf_counter()
        store = _store(self.directory)
        newest = store.load_newest()
        assert newest is not None
        self._new_learner().restore(newest)
        store.close()
        return time.perf_counter() - began

    def _write(self) -> None:
        while (taken := self._waiting.get()) is not None:
            self.store.save(*taken)
            self.most_on_disk = max(self.most_on_disk, _bytes_of(_newest_folders(self.directory)))
            self._waiting.task_done()
        self._waiting.task_done()

    def _new_learner(self) -> Learner:
        training, replay = TrainingConfig(), ReplayConfig(capacity=self.capacity)
        return Learner(MODEL, training, replay, topic="checkpoints.labels", max_events=BATCH)

    def _batch(self) -> EventBatch:
        rows, classes = self._rows(BATCH)
        features = {feature.name: rows[:, place] for place, feature in enumerate(MODEL.features)}
        batch = event_batch(
            MODEL.schema, features, classes.astype(str).tolist(), first_offset=self._next_offset, events_per_ms=64
        )
        self._next_offset += BATCH
        return batch

    def _rows(self, count: int) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
        classes = self._random.integers(0, CLASSES, count)
        return self._centres[classes] + 0.5 * self._random.normal(size=(count, WIDTH)), classes


def _at_size(rows: int) -> list[Figure]:
    with tempfile.TemporaryDirectory() as folder:
        run = _Run(rows, Path(folder))
        run.learn(WARM_UP_BATCHES)
        run.fill()
        written, sizes = [], []
        for _ in range(CHECKPOINTS):
            run.learn(BATCHES_BETWEEN)
            run.checkpoint()
            run._waiting.join()
            written.append(_written_by(_newest_folders(run.directory)[-1]))
            sizes.append(_state_bytes(_newest_folders(run.directory)[-1]))
        run.close()
        recovered = run.recovered_seconds()
    stalls = np.array(run.stalls_ms[1:])  # the first is of everything, at the start of a trainer
    changed = np.array(run.rows_changed[1:])
    name, kib = f"{rows:,} rows", 1 / 1024
    return [
        Figure(name=f"{name}: stall, p50", value=float(np.percentile(stalls, 50)), unit="ms"),
        Figure(
            name=f"{name}: stall, p99",
            value=float(np.percentile(stalls, 99)),
            unit="ms",
            target=MOST_STALL_MS if rows == max(SIZES) else None,
            sense="at most",
        ),
        Figure(name=f"{name}: stall of the first, all rows", value=run.stalls_ms[0], unit="ms"),
        Figure(name=f"{name}: rows changed since the last, p50", value=float(np.median(changed)), unit="rows"),
        Figure(name=f"{name}: written, p50", value=float(np.median(written[1:])) * kib, unit="KiB"),
        Figure(name=f"{name}: of it not for rows, p50", value=float(np.median(sizes[1:])) * kib, unit="KiB"),
        Figure(name=f"{name}: written, mean with merges", value=float(np.mean(written[1:])) * kib, unit="KiB"),
        Figure(name=f"{name}: recovery, load and restore", value=recovered, unit="s"),
    ]


def _an_hour(rows: int) -> list[Figure]:
    with tempfile.TemporaryDirectory() as folder:
        run = _Run(rows, Path(folder))
        run.learn(WARM_UP_BATCHES)
        run.fill()
        most = []
        for number in range(AN_HOUR):
            run.learn(1)
            run.checkpoint()
            if number in (AN_HOUR // 10, AN_HOUR - 1):
                run._waiting.join()
                most.append(run.most_on_disk)
        run.close()
    name = f"{rows:,} rows, {AN_HOUR} checkpoints, {KEPT} kept: most ever on disk"
    return [
        Figure(name=name, value=most[1] / 2**20, unit="MiB"),
        Figure(name=f"{name} ÷ in their first tenth", value=most[1] / most[0], unit="", target=3.0, sense="at most"),
    ]


def _store(directory: Path) -> DiskCheckpoints:
    return DiskCheckpoints(directory, model=MODEL.name, schema_digest=MODEL.schema.digest, kept=KEPT)


def _newest_folders(directory: Path) -> list[Path]:
    return whole_folders(model_folder(directory, MODEL.name))


def _bytes_of(folders: list[Path]) -> int:
    """On disk: a file that several checkpoints link counts once."""
    files = {(at := path.stat()).st_ino: at.st_size for folder in folders for path in folder.iterdir()}
    return sum(files.values())


def _written_by(folder: Path) -> int:
    """Of a checkpoint's files those that no other links."""
    return sum(path.stat().st_size for path in folder.iterdir() if path.stat().st_nlink == 1)


def _state_bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.iterdir() if not path.name.startswith("reservoir-"))
