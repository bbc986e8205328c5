"""What one try of a fault may use."""

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from configurations import new_model
from mlflow_servers import MlflowServer
from nursery import Nursery
from penstock.adapters.kafka.local_kafka import LocalKafka


@dataclass(frozen=True, kw_only=True)
class Workspace:
    """A folder of this try's own, and what all tries share.

    Args:
        directory: there, empty, and kept if the try fails.
        kafka: running, a real one, shared: topics get names of their own, and nobody harms it.
        kafka_libs: Kafka's jars, for brokers that a try may harm.
        mlflow: starts the server that all tries share, or gives it; troubles that are over leave it as it was.
        nursery: starts `penstock` without paying for its imports each time.
        is_long: whether this is the long form.
        ends_at_seconds: when, by the monotonic clock, a try that may take any time ends.
    """

    directory: Path
    kafka: LocalKafka
    kafka_libs: Path
    mlflow: Callable[[], MlflowServer]
    nursery: Nursery
    is_long: bool
    ends_at_seconds: float = math.inf

    @property
    def seconds_left(self) -> float:
        """Until it must end."""
        return self.ends_at_seconds - time.monotonic()

    def own_kafka(
        self, properties: Mapping[str, str | int] | None = None, *, advertised_port: int | None = None
    ) -> LocalKafka:
        """A broker of this try's own, to be started with `with`, and harmed."""
        return LocalKafka(
            self.directory / "kafka",
            libs=self.kafka_libs,
            properties=dict(properties or {}),
            advertised_port=advertised_port,
        )

    def new_model(self) -> str:
        """A name whose topics nobody else uses."""
        return new_model()
