"""Records for tests of the update topic, and ways around the update log to write and read them."""

import hashlib
from dataclasses import replace

from kafka_brokers import produce
from penstock.adapters.kafka.health import BrokerHealth
from penstock.adapters.kafka.log_reader import LogReader
from penstock.flow import Delta, LogRecord, ModelUpdate, Offsets, Recorded
from penstock.wire.model_update import encode_record

LEDGER_DIGEST = "0" * 64


def update_of(model: str, *, version: int, epoch: int = 1, inline: bytes = b"weights") -> ModelUpdate:
    """An update with these weights; what else it says follows from its version."""
    return ModelUpdate(
        model=model,
        version=version,
        epoch=epoch,
        sha256=hashlib.sha256(inline).hexdigest(),
        size_bytes=len(inline),
        class_ledger_digest=LEDGER_DIGEST,
        trained_until_ms=1_700_000_000_000 + version,
        announced_at_ms=1_700_000_000_500 + version,
        offsets=Offsets(next={0: version}),
        metrics={"events_learnt": float(version)},
        inline=inline,
    )


def delta_of(model: str, *, version: int, epoch: int = 1, base_version: int = 1) -> ModelUpdate:
    """An update that carries a delta, of nothing in particular."""
    base = Delta(
        content=b"delta",
        base_version=base_version,
        base_sha256="1" * 64,
        base_size_bytes=1000,
        base_uri=f"file:///weights/{base_version}",
    )
    return replace(update_of(model, version=version, epoch=epoch), inline=None, delta=base)


def recorded_of(model: str, *, version: int, epoch: int = 1) -> Recorded:
    """That MLflow has `update_of` the version on record."""
    sha256 = update_of(model, version=version).sha256
    return Recorded(model=model, version=version, epoch=epoch, sha256=sha256, mlflow_version=str(version + 100))


def read_log(bootstrap_servers: str, model: str) -> list[LogRecord]:
    """Everything on the update topic."""
    options = {"bootstrap.servers": bootstrap_servers}
    with LogReader(options, f"{model}.updates", BrokerHealth(bootstrap_servers)) as reader:
        return [entry.record for entry in reader.read(*reader.ends())]


def write_as_another(bootstrap_servers: str, model: str, *records: LogRecord) -> None:
    """Append without any check, as a trainer does that looked a moment too early."""
    for record in records:
        key, value = encode_record(record, model)
        produce(bootstrap_servers, f"{model}.updates", [value], key=key)
