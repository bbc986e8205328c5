"""How a replica listens, batches and bounds its work."""

import re
from dataclasses import dataclass, field
from typing import Literal

from penstock.credentials import without_credentials
from penstock.errors import ConfigurationError
from penstock.serving.location import Location

MAX_PROCESSES = 1024
_ORIGIN = re.compile(r"[a-z][a-z0-9+.-]*://([a-z0-9_-]+(\.[a-z0-9_-]+)*|\[[0-9a-f:.]+\])(:[0-9]{1,5})?")
"""As browsers send it (RFC 6454, section 6.1): in lower case, without a path; any other would never be met."""
_AT_LEAST_ONE = (
    "processes",
    "num_threads",
    "max_queued_requests",
    "max_batch_rows",
    "max_body_bytes",
    "max_request_rows",
    "max_text_bytes",
    "resident_versions",
    "max_weights_bytes",
)


@dataclass(frozen=True, kw_only=True)
class PredictionLogConfig:
    """The `[serving.prediction_log]` section: which predictions replicas write to `<model>.predictions`."""

    enabled: bool = False
    """With it, labels may name a prediction instead of carrying features."""
    sample: float = 1.0
    """The share of requests whose predictions are logged, and whose answers carry a `prediction_id`."""

    def __post_init__(self) -> None:
        if not 0 < self.sample <= 1:
            raise ConfigurationError(
                f"serving.prediction_log.sample is {self.sample}; it must be above 0 and at most 1."
            )


@dataclass(frozen=True, kw_only=True)
class ServingConfig:
    """The `[serving]` section."""

    host: str = "127.0.0.1"
    port: int = 8080
    """0 takes a free port and logs it."""
    grpc_port: int | Literal["off"] = "off"
    """The same protocol over gRPC; 0 takes a free port and logs it."""
    device: Literal["auto", "cpu", "cuda"] = "cpu"
    processes: int = 1
    """How many processes answer on the same ports, each with a model of its own."""
    num_threads: int = 1
    """CPU threads of torch for one forward pass."""
    max_queued_requests: int = 1024
    """Requests waiting for inference; one more is answered 503 with `Retry-After`."""
    max_batch_rows: int = 1024
    """Rows of one forward pass; waiting requests are joined up to this."""
    max_batch_delay_seconds: float = 0.0
    """A request waits so long for others to join its pass; 0: it never does."""
    max_body_bytes: int = 16_777_216
    """A larger request body is answered 413, also one that is larger once unpacked."""
    max_request_rows: int = 65_536
    """A request of more rows is answered 400."""
    max_text_bytes: int = 1_048_576
    """A request with a longer text or category, in UTF-8, is answered 400."""
    timeout_seconds: float = 30.0
    """A request that has not been computed by then is dropped and answered 504; a body that has not arrived, 408."""
    resident_versions: int = 3
    """How many of the last versions stay answerable under `/versions/…`, the newest included."""
    load_on_demand: int = 0
    """How many versions beyond those are fetched from MLflow when asked for, and kept; 0: none."""
    cors_origins: tuple[str, ...] = ()
    """Web pages of these origins, as `https://shop.example`, may ask over HTTP; "*": of all. None unless set."""
    allowed_weights_prefixes: tuple[str, ...] = field(default=(), repr=False)
    """URIs of weights outside these prefixes are refused; empty: only the configured MLflow artifact store."""
    signing_key_file: str = ""
    """With a file of keys, one a line, updates that none of them has signed are refused."""
    max_weights_bytes: int = 4_294_967_296
    """Weights that an update says are larger are refused before a byte of them is fetched."""
    fetch_timeout_seconds: float = 60.0
    """Weights by URI that have not been copied by then are given up, and tried again."""
    max_staleness_seconds: float = 0.0
    """Not ready while the newest event that the newest model has learnt is older; 0: ready whatever its age."""
    grace_seconds: float = 10.0
    """How long requests in flight may take after SIGTERM."""
    prediction_log: PredictionLogConfig = field(default_factory=PredictionLogConfig)

    def __post_init__(self) -> None:
        if not 0 <= self.port <= 65_535:
            raise ConfigurationError(f"serving.port is {self.port}; it must be from 0 to 65535.")
        if self.grpc_port != "off" and not 0 <= self.grpc_port <= 65_535:
            raise ConfigurationError(f'serving.grpc_port is {self.grpc_port}; it must be from 0 to 65535, or "off".')
        if self.processes > MAX_PROCESSES:
            raise ConfigurationError(f"serving.processes is {self.processes}; it must be at most {MAX_PROCESSES}.")
        for name in _AT_LEAST_ONE:
            if getattr(self, name) < 1:
                raise ConfigurationError(f"serving.{name} is {getattr(self, name)}; it must be at least 1.")
        for origin in self.cors_origins:
            if origin != "*" and not _ORIGIN.fullmatch(origin):
                raise ConfigurationError(
                    f'serving.cors_origins has the entry {origin!r}; an entry is "*" or scheme://host or '
                    "scheme://host:port, in lower case and with nothing behind it."
                )
        if self.load_on_demand < 0:
            raise ConfigurationError(f"serving.load_on_demand is {self.load_on_demand}; it must be 0 or more.")
        if not 0 <= self.max_batch_delay_seconds <= 1:
            raise ConfigurationError(
                f"serving.max_batch_delay_seconds is {self.max_batch_delay_seconds}; it must be from 0 to 1."
            )
        for name in ("timeout_seconds", "fetch_timeout_seconds"):
            if not getattr(self, name) > 0:
                raise ConfigurationError(f"serving.{name} is {getattr(self, name)}; it must be above 0.")
        if not self.max_staleness_seconds >= 0:
            raise ConfigurationError(
                f"serving.max_staleness_seconds is {self.max_staleness_seconds}; it must be 0 or more, 0 for no limit."
            )
        for prefix in self.allowed_weights_prefixes:
            _check_prefix(prefix)
        if not 0 <= self.grace_seconds < float("inf"):
            raise ConfigurationError(
                f"serving.grace_seconds is {self.grace_seconds}; it must be 0 or more, and finite."
            )


def _check_prefix(uri: str) -> None:
    try:
        Location.parse(uri)
    except ValueError as error:
        raise ConfigurationError(
            f"serving.allowed_weights_prefixes holds {without_credentials(uri)!r}: {error}."
        ) from None
