"""Messages as a consumer hands them over, without a broker."""

from dataclasses import dataclass, field

from penstock.wire.message import Headers


@dataclass(frozen=True)
class KafkaMessage:
    """The part of `confluent_kafka.Message` that the product reads; `opaque_value` is the payload."""

    opaque_value: bytes | None
    at_offset: int = 0
    at_partition: int = 0
    timestamp_ms: int = 1_700_000_000_000
    with_key: bytes | None = None
    with_headers: Headers = field(default_factory=list)
    of_topic: str = "digits.labels"

    def value(self) -> bytes | None:
        return self.opaque_value

    def key(self) -> bytes | None:
        return self.with_key

    def headers(self) -> Headers | None:
        return self.with_headers or None

    def topic(self) -> str:
        return self.of_topic

    def partition(self) -> int:
        return self.at_partition

    def offset(self) -> int:
        return self.at_offset

    def timestamp(self) -> tuple[int, int]:
        return 1, self.timestamp_ms


def messages_of(*values: bytes) -> list[KafkaMessage]:
    """One message per value, at offsets 0, 1, …"""
    return [KafkaMessage(value, at_offset=offset) for offset, value in enumerate(values)]
