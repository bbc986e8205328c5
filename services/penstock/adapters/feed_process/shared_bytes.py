"""Bytes that two processes see without a copy: an anonymous file, written once and mapped by whoever gets it."""

import mmap
import os
import struct
import tempfile
from contextlib import suppress

from penstock.learning.weights_layout import ALIGNMENT
from penstock.make_way import STEP_BYTES, MakeWay, go_on

_LENGTH = struct.Struct("<Q")


def shared(content: bytes | memoryview, *, aligned_at: int = 0, make_way: MakeWay = go_on) -> int:
    """A descriptor of a file with these bytes, which nobody changes any more; the byte at `aligned_at` is aligned.

    `make_way` is called between steps of a fraction of a millisecond each.
    """
    descriptor = _anonymous_file()
    lead = -(_LENGTH.size + aligned_at) % ALIGNMENT
    try:
        _write_all(descriptor, _LENGTH.pack(lead) + bytes(lead), make_way)
        _write_all(descriptor, content, make_way)
        _seal(descriptor)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def mapped(descriptor: int) -> memoryview:
    """The bytes of a file of `shared`, for as long as a view of them is kept; closes the descriptor.

    Whoever writes to them writes to a copy of the page: nobody else sees it.
    """
    try:
        pages = mmap.mmap(descriptor, 0, access=mmap.ACCESS_COPY)
    finally:
        os.close(descriptor)
    (lead,) = _LENGTH.unpack_from(pages)
    return memoryview(pages)[_LENGTH.size + lead :]


def _anonymous_file() -> int:
    if hasattr(os, "memfd_create"):
        return os.memfd_create("penstock-weights", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    with tempfile.TemporaryFile() as file:  # has no name any more where it is not Windows
        return os.dup(file.fileno())


def _write_all(descriptor: int, content: bytes | memoryview, make_way: MakeWay) -> None:
    view = memoryview(content).cast("B")
    while view:
        make_way()
        view = view[os.write(descriptor, view[:STEP_BYTES]) :]


def _seal(descriptor: int) -> None:
    """Where the system can: who maps it is then sure that no byte changes under its feet."""
    with suppress(ImportError, OSError):
        from fcntl import F_ADD_SEALS, F_SEAL_GROW, F_SEAL_SEAL, F_SEAL_SHRINK, F_SEAL_WRITE, fcntl

        fcntl(descriptor, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL)
