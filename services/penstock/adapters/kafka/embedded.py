"""librdkafka's built-in Kafka cluster, inside this process: nothing to install, for a first look only.

It is reached through the C interface of the very library that confluent-kafka brings along, as its Python interface
neither creates topics with a chosen number of partitions nor says at which address the cluster listens.
"""

import ctypes
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

import confluent_kafka

from penstock.errors import ConfigurationError, UnavailableError

LIMITS = (
    "The embedded broker keeps 5 MiB a partition, in memory: older messages are dropped, everything is gone when it "
    "stops, logs are not compacted and writers are not fenced by transactions. Use Apache Kafka for real work."
)
TOPIC_EXISTS = 36
"""Kafka's error code TOPIC_ALREADY_EXISTS."""
PRODUCER = 0
"""RD_KAFKA_PRODUCER."""

_Pointer = ctypes.c_void_p
_Size = ctypes.c_size_t
_Text = ctypes.c_char_p
_SIGNATURES: Mapping[str, tuple[type | None, tuple[type, ...]]] = {
    "rd_kafka_conf_new": (_Pointer, ()),
    "rd_kafka_conf_set": (ctypes.c_int, (_Pointer, _Text, _Text, _Text, _Size)),
    "rd_kafka_new": (_Pointer, (ctypes.c_int, _Pointer, _Text, _Size)),
    "rd_kafka_destroy": (None, (_Pointer,)),
    "rd_kafka_mock_cluster_new": (_Pointer, (_Pointer, ctypes.c_int)),
    "rd_kafka_mock_cluster_destroy": (None, (_Pointer,)),
    "rd_kafka_mock_cluster_bootstraps": (_Text, (_Pointer,)),
    "rd_kafka_mock_topic_create": (ctypes.c_int, (_Pointer, _Text, ctypes.c_int, ctypes.c_int)),
}


class EmbeddedBroker:
    """A single broker on a free port of this machine, from `with` to its end. See `LIMITS`."""

    def __init__(self) -> None:
        self.bootstrap_servers = ""
        self._library: ctypes.CDLL | None = None
        self._client: int | None = None
        self._cluster: int | None = None

    def __enter__(self) -> Self:
        """Start it.

        Raises:
            UnavailableError: librdkafka cannot, in its own words.
        """
        library = _load_library()
        reason = ctypes.create_string_buffer(512)
        conf = library.rd_kafka_conf_new()
        library.rd_kafka_conf_set(conf, b"log_level", b"0", reason, len(reason))
        client = library.rd_kafka_new(PRODUCER, conf, reason, len(reason))
        if not client:
            raise UnavailableError(f"The embedded broker cannot start: {reason.value.decode()}.")
        cluster = library.rd_kafka_mock_cluster_new(client, 1)
        if not cluster:
            library.rd_kafka_destroy(client)
            raise UnavailableError("The embedded broker cannot start: librdkafka gave no reason.")
        self._library, self._client, self._cluster = library, client, cluster
        self.bootstrap_servers = library.rd_kafka_mock_cluster_bootstraps(cluster).decode()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop it; what it held is gone."""
        if self._library is not None:
            self._library.rd_kafka_mock_cluster_destroy(self._cluster)
            self._library.rd_kafka_destroy(self._client)
            self._library = self._client = self._cluster = None

    def create_topic(self, name: str, partitions: int) -> None:
        """Create a topic; one that exists stays as it is.

        Raises:
            ConfigurationError: the broker is not running, or refuses the name or the number of partitions.
        """
        if self._library is None:
            raise ConfigurationError(f"The topic {name!r} cannot be created: the embedded broker is not running.")
        if partitions < 1:
            raise ConfigurationError(f"The topic {name!r} cannot have {partitions} partitions; it needs at least 1.")
        code = self._library.rd_kafka_mock_topic_create(self._cluster, name.encode(), partitions, 1)
        if code not in (0, TOPIC_EXISTS):
            raise ConfigurationError(
                f"The embedded broker refuses the topic {name!r} with {partitions} partitions (error {code})."
            )


def _load_library() -> ctypes.CDLL:
    """The shared object that confluent-kafka has loaded, its functions typed."""
    library = ctypes.CDLL(str(_library_path()))
    for name, (result, arguments) in _SIGNATURES.items():
        function = getattr(library, name)
        function.restype, function.argtypes = result, list(arguments)
    return library


def _library_path() -> Path:
    package = Path(confluent_kafka.__file__).parent
    for folder, pattern in (
        (package.parent / "confluent_kafka.libs", "librdkafka*"),
        (package / ".dylibs", "librdkafka*"),
    ):
        for path in sorted(folder.glob(pattern)):
            return path
    raise ConfigurationError(
        f"There is no librdkafka beside {package}: the embedded broker needs confluent-kafka's binary wheel. "
        "Install it with pip, or use Apache Kafka."
    )
