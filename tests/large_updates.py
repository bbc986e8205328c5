"""Updates whose weights do not travel inline: whole by URI, and as deltas; and a store that can be away."""

import io
from dataclasses import replace
from typing import BinaryIO

from penstock.errors import RefusedUpdateError, UnavailableError
from penstock.flow import Delta, ModelUpdate
from penstock.learning.weights_delta import delta_between
from served_models import update_of

OUTSIDE = "http://elsewhere/"


class Store:
    """`serving.ports.WeightsFetcher` of weights by URI; one that is not there is out of reach."""

    def __init__(self) -> None:
        self.content: dict[str, bytes] = {}
        self.num_fetched = 0

    def fetch(self, uri: str, size_bytes: int) -> BinaryIO:
        if uri.startswith(OUTSIDE):
            raise RefusedUpdateError("uri", f"{uri} is outside the allowed prefixes.")
        if uri not in self.content:
            raise UnavailableError(f"{uri} cannot be read now.")
        self.num_fetched += 1
        return io.BytesIO(self.content[uri])

    def put(self, update: ModelUpdate) -> ModelUpdate:
        """The same update with its weights here instead of inline."""
        assert update.inline is not None
        uri = f"file:///weights/{update.version}"
        self.content[uri] = bytes(update.inline)
        return replace(update, inline=None, uri=uri)


def whole_of(store: Store, version: int, *, epoch: int = 1) -> ModelUpdate:
    """Announced by URI."""
    return store.put(update_of(version, epoch=epoch))


def delta_of(version: int, base_version: int, *, epoch: int = 1) -> ModelUpdate:
    """What changed since `whole_of(…, base_version)`."""
    update, base = update_of(version, epoch=epoch), update_of(base_version)
    assert update.inline is not None
    assert base.inline is not None
    content = delta_between(bytes(base.inline), bytes(update.inline), max_bytes=1 << 20)
    assert content is not None
    delta = Delta(
        content=content,
        base_version=base_version,
        base_sha256=base.sha256,
        base_size_bytes=base.size_bytes,
        base_uri=f"file:///weights/{base_version}",
    )
    return replace(update, inline=None, delta=delta)


def with_delta(update: ModelUpdate, **changes: object) -> ModelUpdate:
    """The same with something else said of its delta."""
    assert update.delta is not None
    return replace(update, delta=replace(update.delta, **changes))  # type: ignore[arg-type]  # by field name


def spoilt(update: ModelUpdate) -> ModelUpdate:
    """Its delta has one byte flipped, in what it carries."""
    assert update.delta is not None
    content = bytearray(update.delta.content)
    content[-1] ^= 0xFF
    return with_delta(update, content=bytes(content))
