"""The bytes of a weights file in memory that processes share, and what was found out about them on the way there."""

import os
import weakref
from mmap import ACCESS_READ, mmap
from typing import NamedTuple

from penstock.adapters.feed_process.shared_bytes import shared, view_of
from penstock.learning.weights_content import Digest, MemoryContent
from penstock.learning.weights_layout import LENGTH_BYTES, is_finite
from penstock.make_way import MakeWay, go_on


class SharedWeights(NamedTuple):
    """`descriptor` is of a file of `shared_bytes.shared`, to be closed by whoever has this."""

    descriptor: int
    sha256: str
    size_bytes: int
    is_finite: bool
    """It is a weights file and all numbers in it are finite."""


def shared_weights(content: bytes | memoryview, make_way: MakeWay = go_on) -> SharedWeights:
    """Share, digest and look through these bytes, whatever they are, in steps between which `make_way` is called."""
    header_bytes = int.from_bytes(content[:LENGTH_BYTES], "little")
    descriptor = shared(content, aligned_at=LENGTH_BYTES + header_bytes, make_way=make_way)
    try:
        digest = Digest(MemoryContent(content), make_way).hexdigest
        return SharedWeights(descriptor, digest, len(content), is_finite(content, make_way))
    except BaseException:
        os.close(descriptor)
        raise


class _Pages(mmap):
    """Mapped, with the descriptor and the findings they came with."""

    found: SharedWeights


def as_content(found: SharedWeights) -> memoryview:
    """The bytes, to be read only; the descriptor is closed when nobody has a view of them any more."""
    pages = _Pages(found.descriptor, 0, access=ACCESS_READ)
    pages.found = found
    weakref.finalize(pages, os.close, found.descriptor)
    return view_of(pages)


def as_shared(content: bytes | memoryview, make_way: MakeWay = go_on) -> SharedWeights:
    """What `shared_weights` makes of `content`, with less work if it comes from `as_content`."""
    if isinstance(content, memoryview) and isinstance(content.obj, _Pages):
        found = content.obj.found
        return found._replace(descriptor=os.dup(found.descriptor))
    return shared_weights(content, make_way)
