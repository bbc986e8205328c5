"""What the first decode of a process would pay for: imports that its libraries put off, code not yet run."""

from dataclasses import dataclass

from penstock.features import Feature, FeatureSchema
from penstock.wire.decoder import EventDecoder
from penstock.wire.message import Headers

SCHEMA = FeatureSchema(
    features=(
        Feature(name="a", kind="number"),
        Feature(name="b", kind="vector", width=2),
        Feature(name="c", kind="text"),
    )
)
EVENT = b'{"event_id": "e", "features": {"a": 1.5, "b": [0.5, 1], "c": "words"}, "label": "l"}'


@dataclass(frozen=True)
class _Message:
    """An event that came from nowhere."""

    def value(self) -> bytes | None:
        return EVENT

    def key(self) -> bytes | None:
        return None

    def headers(self) -> Headers | None:
        return None

    def topic(self) -> str:
        return ""

    def partition(self) -> int:
        return 0

    def offset(self) -> int:
        return 0

    def timestamp(self) -> tuple[int, int]:
        return 1, 0


def warm_up() -> None:
    """Decode made-up events, once by each way of reading them."""
    for columnar_from_bytes in (0, len(EVENT) + 1):
        decoded = EventDecoder(SCHEMA, columnar_from_bytes=columnar_from_bytes).decode([_Message()])
        assert decoded.events.num_rows == 1
