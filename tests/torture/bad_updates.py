"""Row 11: an update topic full of what should not be there, in any order, read more than once, on the real updater."""

import hashlib
import json
import random
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from safetensors.numpy import load, save
from structlog.testing import capture_logs

from counted_telemetry import CountedTelemetry
from kafka_messages import KafkaMessage
from penstock.adapters.kafka.log_reader import decoded
from penstock.adapters.mlflow.config import MlflowConfig
from penstock.adapters.mlflow.fetcher import ArtifactFetcher
from penstock.clock import SystemClock
from penstock.errors import StopError
from penstock.flow import Claim, LogRecord, ModelUpdate, Withdrawal
from penstock.serving.builder import ModelBuilder
from penstock.serving.slot import ServedModel, Slot
from penstock.serving.updater import Updater
from penstock.wire.model_update import encode_record
from served_models import CPU, MIXED, PIXELS, QueuedFeed, corrupt, update_of, update_with, weights_of
from torture.fault import Fault, Figures
from torture.workspace import Workspace
from waiting import wait_for

SHORT, LONG = 300, 10_000
MAX_BYTES = 10_000_000

Spoil = Callable[[ModelUpdate, Path, random.Random], ModelUpdate]


class WatchedSlot(Slot):
    """A slot that keeps everything that was ever put into it."""

    def __init__(self) -> None:
        super().__init__()
        self.history: list[ServedModel] = []

    @property
    def current(self) -> ServedModel | None:
        """As in `Slot`."""
        return self._current

    @current.setter
    def current(self, served: ServedModel) -> None:
        self.history.append(served)
        self._residents = (served,)
        self._current = served


@dataclass
class Log:
    """Encoded records in the order of the log, and by version what may be served; `fenced` only in another order."""

    records: list[tuple[bytes, bytes | None]]
    good: dict[int, ModelUpdate]
    fenced: dict[int, ModelUpdate]
    last_epoch: int


def play(workspace: Workspace, seed: int) -> Figures:
    """One replica reads it in order and once more from the start, another one reads it shuffled."""
    torch.set_num_threads(1)
    chance = random.Random(seed)
    log = made(LONG if workspace.is_long else SHORT, workspace.directory, chance)
    shuffled = log.records.copy()
    chance.shuffle(shuffled)
    refused = Counter[str]()
    with capture_logs():  # a line for each of thousands
        in_order = _served(log.records * 2, log, workspace.directory, chance, refused)
        in_disorder = _served(shuffled, log, workspace.directory, chance, refused)
    _check(in_order, log.good)
    _check(in_disorder, log.good | log.fenced)
    return {
        "records": 3.0 * len(log.records),
        "updates served": float(len(in_order) + len(in_disorder)),
        **{f"refused: {name}": float(count) for name, count in refused.items()},
    }


def _served(
    records: Sequence[tuple[bytes, bytes | None]], log: Log, folder: Path, chance: random.Random, refused: Counter[str]
) -> list[ServedModel]:
    """What a replica serves of them one after the other, and in the end of a good one behind them."""
    feed, slot, telemetry = QueuedFeed(), WatchedSlot(), CountedTelemetry()
    config = MlflowConfig(tracking_uri=f"sqlite:///{folder / 'state' / 'mlflow.db'}")
    builder = ModelBuilder(PIXELS, device=CPU, fetcher=ArtifactFetcher(config), max_weights_bytes=MAX_BYTES)
    stopped: list[StopError] = []
    updater = Updater(
        feed,
        slot,
        builder,
        model=PIXELS.name,
        telemetry=telemetry,
        clock=SystemClock(),
        give_up=stopped.append,
        retry_seconds=0.01,
    )
    updater.start()
    try:
        for burst in _bursts(records, chance):
            feed.append(*_decoded(burst))
            wait_for(
                partial(_has_come_back, feed, 2 + feed.idle_polls), "the burst is worked off", every_seconds=0.0005
            )
        last = max(log.good) + len(log.records)
        feed.append(update_of(last, epoch=log.last_epoch))
        wait_for(
            lambda: slot.current is not None and slot.current.version == last,
            "the newest is served",
            every_seconds=0.002,
        )
    finally:
        updater.close()
    assert stopped == []
    results = telemetry.results().items()
    refused.update({name: round(count) for name, count in results if name not in ("swapped", "skipped")})
    return slot.history[:-1]


def made(count: int, folder: Path, chance: random.Random) -> Log:
    """A log of so many records; epochs and versions grow as a trainer's do."""
    (folder / "state" / "mlflow-artifacts").mkdir(parents=True)
    log, epoch, version = Log(records=[], good={}, fenced={}, last_epoch=1), 1, 0
    while len(log.records) < count:
        kind = chance.random()
        if kind < 0.01:
            epoch += chance.randrange(1, 3)
            log.records.append(_encoded(Claim(epoch=epoch, holder=f"trainer {epoch}")))
            continue
        if kind < 0.03:
            log.records.append(_encoded(Withdrawal(model=PIXELS.name)))
            continue
        if kind < 0.15 and log.records:
            log.records.append(chance.choice(log.records))
            continue
        version += 1
        update = update_of(version, epoch=epoch)
        if kind < 0.45:
            log.good[version] = update
            log.records.append(_encoded(update))
        elif kind < 0.55:
            key, value = _encoded(update)
            log.records.append((key, _broken(value or b"", chance)))
        elif kind < 0.6 and epoch > 1:
            log.fenced[version] = replace(update, epoch=chance.randrange(1, epoch))
            log.records.append(_encoded(log.fenced[version]))
        else:
            log.records.append(_encoded(chance.choice(SPOILS)(update, folder, chance)))
    log.last_epoch = epoch
    return log


def _check(history: Sequence[ServedModel], good: dict[int, ModelUpdate]) -> None:
    for before, served in zip([None, *history], history, strict=False):
        update = good.get(served.version)
        assert update is not None, f"version {served.version} was served and should not have been"
        assert (served.sha256, served.epoch) == (update.sha256, update.epoch), f"{served.version} is another one"
        assert before is None or before.place < served.place, f"{served.place} was served after {before.place}"
        assert before is None or before.version < served.version, f"{served.version} after {before.version}"


def _has_come_back(feed: QueuedFeed, polls: int) -> bool:
    return feed.idle_polls >= polls


def _bursts(
    records: Sequence[tuple[bytes, bytes | None]], chance: random.Random
) -> list[Sequence[tuple[bytes, bytes | None]]]:
    bursts, start = [], 0
    while start < len(records):
        stop = start + chance.choice((1, 1, 1, 2, 8))
        bursts.append(records[start:stop])
        start = stop
    return bursts


def _decoded(records: Sequence[tuple[bytes, bytes | None]]) -> list[LogRecord]:
    """As the feed decodes them: what is no record is passed by."""
    entries = (decoded(KafkaMessage(value, with_key=key)) for key, value in records)
    return [entry.record for entry in entries if entry is not None]


def _encoded(record: LogRecord) -> tuple[bytes, bytes | None]:
    return encode_record(record, PIXELS.name)


def _broken(value: bytes, chance: random.Random) -> bytes:
    """Cut off, or with bytes changed outside of the weights, so that it is no update any more."""
    if chance.random() < 0.5:
        return value[: chance.randrange(len(value))]
    return chance.choice(
        (b"{}", b"[1]", b"null", b"{" * 5000, b"\xff\xfe", value.replace(b'"sha256":"', b'"sha256":"-'))
    )


def _changed(update: ModelUpdate, change: Callable[[dict[str, np.ndarray]], None]) -> ModelUpdate:
    """The weights with other tensors, announced truthfully."""
    assert update.inline is not None
    length = int.from_bytes(update.inline[:8], "little")
    metadata = json.loads(bytes(update.inline[8 : 8 + length]))["__metadata__"]
    tensors = {name: tensor.copy() for name, tensor in load(bytes(update.inline)).items()}
    change(tensors)
    return _holding(update, save(tensors, metadata=metadata))


def _holding(update: ModelUpdate, content: bytes) -> ModelUpdate:
    return replace(update, inline=content, sha256=hashlib.sha256(content).hexdigest(), size_bytes=len(content))


def _float(tensors: dict[str, np.ndarray]) -> str:
    return max((name for name in tensors if tensors[name].dtype.kind == "f"), key=lambda name: tensors[name].size)


def _narrower(tensors: dict[str, np.ndarray]) -> None:
    name = _float(tensors)
    tensors[name] = tensors[name][..., :-1].copy()


def _without_one(tensors: dict[str, np.ndarray]) -> None:
    del tensors[_float(tensors)]


def _not_finite(tensors: dict[str, np.ndarray]) -> None:
    tensors[_float(tensors)].flat[0] = np.nan


def _by_uri(uri: Callable[[Path, random.Random], str]) -> Spoil:
    return lambda update, folder, chance: replace(update, inline=None, uri=uri(folder, chance))


def _stored(folder: Path, content: bytes, chance: random.Random) -> str:
    file = folder / "state" / "mlflow-artifacts" / f"{chance.getrandbits(64):016x}.safetensors"
    file.write_bytes(content)
    return file.as_uri()


SPOILS: tuple[Spoil, ...] = (
    lambda update, _folder, _chance: corrupt(update),
    lambda update, _folder, chance: replace(update, inline=(update.inline or b"")[: -chance.randrange(1, 2000)]),
    lambda update, _folder, _chance: replace(update, class_ledger_digest="0" * 64),
    lambda update, _folder, _chance: replace(update, size_bytes=update.size_bytes + 1),
    lambda update, _folder, _chance: replace(update, size_bytes=MAX_BYTES + 1),
    lambda update, _folder, _chance: _changed(update, _narrower),
    lambda update, _folder, _chance: _changed(update, _without_one),
    lambda update, _folder, _chance: _changed(update, _not_finite),
    lambda update, _folder, chance: _holding(update, bytes(update.inline or b"")[: chance.randrange(2000)]),
    lambda update, _folder, chance: _holding(update, chance.randbytes(chance.randrange(3000))),
    lambda update, _folder, _chance: replace(
        update_with(weights_of(MIXED.name)[0], version=update.version, epoch=update.epoch), model=PIXELS.name
    ),
    _by_uri(lambda folder, chance: (folder / "state" / "mlflow-artifacts" / f"gone-{chance.random()}").as_uri()),
    _by_uri(lambda folder, _chance: (folder / "outside").as_uri()),
    _by_uri(lambda folder, _chance: (folder / "state" / "mlflow-artifacts").as_uri() + "/../../outside"),
    _by_uri(lambda _folder, _chance: "http://127.0.0.1:9/weights"),
    _by_uri(lambda folder, chance: _stored(folder, chance.randbytes(500), chance)),
)
"""Ways in which an update is one that must not be served, whatever else it says."""


BAD_UPDATES = Fault(
    number=11,
    title="an update topic full of bad updates",
    injected="duplicates, shuffles, the topic read again from zero, broken records, corrupt, truncated, foreign and "
    "misshapen weights, NaN, wrong ledgers and sizes, missing artifacts, URIs out of the allowed place, fenced updates",
    must_hold="none is served that should not be, none is accepted backwards, and the newest good one is served",
    short_tries=1,
    long_tries=5,
    play=play,
)
